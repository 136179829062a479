"""Reads and writes the files of a team: whole or not at all, and with the line ends that they have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from clerk_convex.errors import ProjectError

__all__ = ["is_file", "read_text", "remove", "write_text"]


def is_file(path: Path) -> bool:
    with _explained(path):
        return path.is_file()


def read_text(path: Path) -> str:
    """Return the text of a file with "\\n" between its lines. Raises ProjectError."""
    with _explained(path):
        return path.read_text(encoding="utf-8-sig")


def write_text(path: Path, text: str) -> None:
    """Write a file in one step, so that an interrupted run leaves it old or new. Raises ProjectError.

    An existing file keeps its line ends and its permissions. A symbolic link stays: its target is written.
    """
    with _explained(path):
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        has_crlf = path.exists() and b"\r\n" in path.read_bytes()
        beside = path.with_name(f".{path.name}.tmp")  # Convex ignores files whose name begins with a dot
        try:
            with beside.open("w", encoding="utf-8", newline="\r\n" if has_crlf else "\n") as file:
                file.write(text)
            if path.exists():
                beside.chmod(path.stat().st_mode & 0o777)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file, and its folder if it was the last one there."""
    with _explained(path):
        path.unlink()
        with contextlib.suppress(OSError):
            path.parent.rmdir()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ProjectError(f"{path} cannot be read or written ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise ProjectError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None
