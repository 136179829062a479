"""Deadlines that are cheap to set and to take back, because most are never reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

__all__ = ["Alarms"]

T = TypeVar("T", bound=Hashable)

_PART = 1 / 32  # of the time: items that are set within it share a timer


class Alarms(Generic[T]):
    """Calls `ring` with each item that is still set after `seconds`, or up to 1/32 of that time earlier.

        moment = alarms.set(item)
        ...
        moment.discard(item)  # takes it back

    A timer of the event loop for each item would cost more than most of what is done for an event, so all
    items of a moment share one. Serves one event loop.
    """

    def __init__(self, seconds: float, ring: Callable[[T], object]) -> None:
        self._seconds = seconds
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._moment: set[T] = set()
        self._end = float("-inf")  # of the moment, by the loop's clock

    def set(self, item: T) -> set[T]:
        """Set an item and return the set from which it is discarded to take it back."""
        now = self._loop.time()
        if now >= self._end:
            self._moment = set()
            self._end = now + self._seconds * _PART
            self._loop.call_later(self._seconds, self._reached, self._moment)
        self._moment.add(item)
        return self._moment

    def _reached(self, moment: Iterable[T]) -> None:
        for item in list(moment):
            self._ring(item)
