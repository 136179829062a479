"""Run a coroutine on an event loop with virtual time, so that waiting takes no time. Not for sockets."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Advance at least a nanosecond, so that a timer that rounding left in the future gets due.
        self.now += max(timeout or 0.0, 1e-9)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Do as asyncio.run. The loop's time starts at 0 and advances only when all tasks wait."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()


def block(seconds: float) -> None:
    """Advance the loop's time as if code had blocked the loop for `seconds`."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Loop)
    loop.clock.now += seconds
