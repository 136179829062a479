"""Write the settings of a running set to a file for other programs."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from clerk_convex.errors import LocalError

__all__ = ["EnvFile"]

HEAD = "# Written by python -m clerk_convex.local, which removes it when it ends.\n"


class EnvFile:
    """A file of settings, in a form that both dotenv and a shell read. It exists while the set runs.

        with EnvFile(path) as file:
            file.write({"CONVEX_URL": "http://127.0.0.1:3210"})

    It holds keys, so only its owner can read it (mode 0600). It is written atomically. An existing file is
    never overwritten: `with` and `write` raise LocalError if there is one; `write` also if the file cannot be
    written. The file is deleted at the end, unless its content has been changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: str | None = None

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, UnicodeDecodeError):
            if self._text is not None and self._path.read_text(encoding="utf-8") == self._text:
                self._path.unlink()

    def write(self, values: Mapping[str, str]) -> None:
        """Write the file. `values` are environment variables by name."""
        self._check()
        self._text = HEAD + "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        try:
            descriptor, name = tempfile.mkstemp(prefix=f"{self._path.name}.", dir=self._path.parent)
            draft = Path(name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(self._text)
                draft.replace(self._path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise LocalError(
                f"{self._path} cannot be written ({error.strerror}): name another file with --env-file."
            ) from error

    def _check(self) -> None:
        if os.path.lexists(self._path):
            raise LocalError(
                f"{self._path} exists already and is not overwritten: delete it, or name another file "
                "with --env-file."
            )
