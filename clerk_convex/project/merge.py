"""Merges a team's changes of a file with those of a new version."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["merge"]


def merge(theirs: str, base: str, ours: str) -> str | None:
    """Return `ours` with what the team has changed from `base` to `theirs`, or None if both change one place.

    Git does it. Without git the answer is None too, and a person merges.
    """
    git = shutil.which("git")
    if git is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("theirs", "base", "ours")]
        for file, text in zip(files, (theirs, base, ours), strict=True):
            file.write_text(text, encoding="utf-8", newline="\n")
        command = [git, "merge-file", "--stdout", "--quiet", *map(str, files)]
        merged = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own files
        return merged.stdout.decode() if merged.returncode == 0 else None
