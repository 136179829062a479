"""What `init` wrote into a folder of functions: kept in a file beside them, for the next upgrade.

The file holds for each of our files the hash and the text that was written. The text is the base of a
three-way merge when the team has changed the file. Convex ignores the file: its name begins with a dot.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clerk_convex.errors import ProjectError
from clerk_convex.project.files import is_file, read_text, write_text
from clerk_convex.project.template import Names

__all__ = ["RECORD", "Record"]

RECORD = "clerk/.clerk-convex.json"
_ABOUT = "Written by clerk-convex init, which needs it to upgrade these files. Commit it, and do not edit it."


@dataclass(frozen=True, slots=True)
class Record:
    """The version and the names that were written, and the text of each file of ours."""

    version: str
    names: Names
    bases: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Return the record of a folder, or None if it has none. Raises ProjectError."""
        path = folder / RECORD
        if not is_file(path):
            return None
        try:
            content = json.loads(read_text(path))
            bases = {name: _unpacked(file) for name, file in content["files"].items()}
            return cls(str(content["version"]), Names(content["module"], content["table"]), bases)
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
            raise ProjectError(f"{path} is damaged. Restore it from your version control.") from None

    def write(self, folder: Path) -> None:
        content = {
            "about": _ABOUT,
            "version": self.version,
            "module": self.names.module,
            "table": self.names.table,
            "files": {name: _packed(text) for name, text in sorted(self.bases.items())},
        }
        text = json.dumps(content, indent=2) + "\n"
        if not is_file(folder / RECORD) or read_text(folder / RECORD) != text:
            write_text(folder / RECORD, text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _packed(text: str) -> dict[str, str]:
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    return {"sha256": _hash(text), "base": packed}


def _unpacked(file: Any) -> str:
    text = zlib.decompress(base64.b64decode(file["base"])).decode()
    if _hash(text) != file["sha256"]:
        raise ValueError
    return text
