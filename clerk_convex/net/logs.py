"""Helpers for log messages: how often one is repeated, and how an error is described without its text."""

from __future__ import annotations

import time
import traceback
from pathlib import PurePath

__all__ = ["OnceAMinute", "describe"]

_INTERVAL = 60.0  # seconds


class OnceAMinute:
    """Limits a repeated log message to one per minute for each kind of message.

    if self._once_a_minute.should_log("slow"):
        logger.warning("Clerk is slow.")
    """

    def __init__(self) -> None:
        self._logged_at: dict[object, float] = {}

    def should_log(self, kind: object = None) -> bool:
        """Return whether to log a message of this kind now. If so, count it as logged."""
        now = time.monotonic()
        if now - self._logged_at.get(kind, float("-inf")) < _INTERVAL:
            return False
        self._logged_at[kind] = now
        return True


def describe(error: Exception) -> str:
    """Return the type and the place of an error. Its text is left out: it may quote personal data."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name}, {PurePath(where.filename).name}:{where.lineno}"
