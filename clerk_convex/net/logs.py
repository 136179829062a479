"""What is said in the log, and how often."""

from __future__ import annotations

import time
import traceback
from pathlib import PurePath

__all__ = ["OnceAMinute", "describe"]

_INTERVAL = 60.0  # seconds


class OnceAMinute:
    """Tells whether it is time to say something again: each kind of thing once a minute."""

    def __init__(self) -> None:
        self._said: dict[object, float] = {}

    def is_due(self, kind: object = None) -> bool:
        """True counts as said."""
        now = time.monotonic()
        if now - self._said.get(kind, float("-inf")) < _INTERVAL:
            return False
        self._said[kind] = now
        return True


def describe(error: Exception) -> str:
    """An error without its text, which may quote anything."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name}, {PurePath(where.filename).name}:{where.lineno}"
