"""Objects that belong to one event loop: made on first use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One object for each event loop of each process, made on first use.

    The process is part of the key because a forked child must not share connections with its parent.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[int, asyncio.AbstractEventLoop], T] = {}

    def get(self) -> T:
        """Return the object of the running loop. The first call makes it."""
        here = os.getpid(), asyncio.get_running_loop()
        try:
            return self._made[here]
        except KeyError:
            pass
        for process, loop in list(self._made):
            if loop.is_closed():
                self._made.pop((process, loop), None)
        self._made[here] = made = self._make()
        return made

    @property
    def made(self) -> T | None:
        """The object of the running loop, or None if `get` was not called there yet."""
        return self._made.get((os.getpid(), asyncio.get_running_loop()))
