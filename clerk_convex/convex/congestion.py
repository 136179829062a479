"""Limits the load on Convex: sends less after trouble, and more again after success."""

from __future__ import annotations

import asyncio

from clerk_convex.convex.client import Conflicted, Throttled
from clerk_convex.convex.pace import Pace
from clerk_convex.errors import DeploymentUnavailable
from clerk_convex.net.backoff import Backoff

__all__ = ["Congestion"]

_BACKOFF = Backoff(first=0.05, longest=1.0)  # seconds


class Congestion:
    """The number of concurrent calls (`slots`) and of changes in a batch (`batch_size`) that Convex can take.

    Both start at their maximum. After trouble that fewer calls cure (Throttled, Conflicted), `slots` is
    halved: smaller batches would be more calls. After any other trouble that passes, `batch_size` is
    quartered, because a batch that is too large to be written in time can be written in parts. Each success
    raises both a little. Neither falls below 1. `pace`, if there is one, slows down after the first kind of
    trouble, and after a call that took so long that Convex must have met it.

    `failures` counts the failures since the last success. Calls that were in flight together fail together,
    so that they count once.
    """

    def __init__(self, max_slots: int, max_batch_size: int, pace: Pace | None = None) -> None:
        self.pace = pace
        self.slots = float(max_slots)
        self.batch_size = float(max_batch_size)
        self.failures = 0
        self._max_slots = max_slots
        self._max_batch_size = max_batch_size
        self._failed_at = self._late_at = 0.0  # the loop's time

    def succeeded(self, started: float) -> None:
        """Record that a call succeeded that was sent at `started`, by the clock of the running loop."""
        self.failures = 0
        if self.pace is not None:
            now = asyncio.get_running_loop().time()
            if self.pace.took(now - started) and started >= self._late_at:
                self._late_at = now
                self.pace.slow_down()
        self.slots = min(self._max_slots, self.slots + 1 / self.slots)  # one more when all slots succeeded
        self.batch_size = min(self._max_batch_size, self.batch_size + self._max_batch_size / 100)

    def failed(self, error: DeploymentUnavailable, started: float) -> None:
        """Record that a call failed that was sent at `started`, by the clock of the running loop."""
        if started < self._failed_at:  # it was in flight when another one failed
            return
        self._failed_at = asyncio.get_running_loop().time()
        self.failures += 1
        if isinstance(error, Throttled | Conflicted):
            self.slots = max(1.0, self.slots / 2)
            if self.pace is not None:
                self.pace.slow_down()
        else:
            self.batch_size = max(1.0, self.batch_size / 4)

    def pause(self) -> float:
        """Return the seconds to wait before a batch that failed is sent again."""
        return _BACKOFF.pause(self.failures)
