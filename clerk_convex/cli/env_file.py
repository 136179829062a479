"""Loads settings from a dotenv file, for cron and other places without an environment."""

from __future__ import annotations

import io
from pathlib import Path

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from clerk_convex.errors import SettingsError

__all__ = ["load_env_file"]


def load_env_file(path: str) -> None:
    """Add the variables of the dotenv file at `path` to the environment, as `uvicorn --env-file` does.

    Variables that are set already keep their values. The file is not a shell script: `|`, `&` and `;` have no
    meaning, and `$` has one only in `${NAME}`. Raises SettingsError.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # some editors begin with a byte order mark
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror})"
    except ValueError:
        problem = f"{path} is not UTF-8 text. Save it as UTF-8"
    else:
        wrong = [binding.original.line for binding in parse_stream(io.StringIO(text)) if binding.error]
        if not wrong and "\0" not in text:
            load_dotenv(stream=io.StringIO(text))
            return
        problem = f"{path} is not a dotenv file"
        if wrong:
            problem = f"line {wrong[0]} of {path} cannot be read. Write NAME=value, and close every quote"
    raise SettingsError(f"--env-file: {problem}.")
