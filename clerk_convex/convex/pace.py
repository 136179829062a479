"""The pace of a run: how much it makes Convex write in a second, so that the app keeps its share.

Convex limits what a whole deployment writes: on the usual class 4 MiB in any second, documents and index
entries together. Past it every mutation of the deployment is tried again four times and then refused, also
those of the app. A webhook is never paced: it writes what happened, and its senders wait.
"""

from __future__ import annotations

import asyncio

__all__ = ["INDEXED_BYTES", "Pace", "cost_of"]

INDEXED_BYTES = 1_500
"""The bytes that Convex writes for a user in a batch beyond those of the change as JSON: index entries, the
version, the audit log. They are those of an update, which is dearer than a new user. `in_a_batch` of
benchmarks/costs.py counts them, and tests/test_benchmarks.py compares."""

_PORTION = 0.125  # seconds' worth of writes in one mutation, at most
_BURST = 0.25  # seconds' worth of writes that may begin together
_RECOVERY = 60.0  # seconds from nothing to the full rate
_SLOWEST = 1 / 32  # of the full rate
_LATE = 1.0  # seconds; Convex tries a mutation again for 1.5 s, and lets it wait 5 s for a slot
_LATE_FACTOR = 4.0  # times the quickest call: far away, or on a slow machine, each call takes long


def cost_of(encoded: bytes) -> int:
    """Return about how many bytes Convex writes for a change, given as JSON, that changes a row."""
    return len(encoded) + INDEXED_BYTES


class Pace:
    """A token bucket of bytes. `rate` is bytes a second: at first, and at most, `most`.

    The rate is halved when a mutation was refused for too much load, or took so long that Convex must have
    tried it again: the app's mutations have then met the same. It rises again slowly.
    """

    def __init__(self, most: float) -> None:
        self.rate = self._most = most
        self._free = most * _BURST
        self._refilled_at: float | None = None  # by the loop's clock
        self._quickest = float("inf")  # seconds of a call

    @property
    def portion(self) -> int:
        """The bytes that one mutation writes, at most."""
        return max(1, int(self.rate * _PORTION))

    def wait(self) -> float:
        """Return the seconds until a portion may be written."""
        self._refill()
        return max(0.0, (self.portion - self._free) / self.rate)

    async def turn(self, size: int) -> None:
        """Wait until `size` bytes may be written, and count them."""
        while (wait := self.wait()) > 0:  # noqa: ASYNC110 - the time that passes is what is waited for
            await asyncio.sleep(wait)
        self.take(size)

    def take(self, size: int) -> None:
        """Count bytes that are about to be written."""
        self._free -= size

    def give_back(self, size: int) -> None:
        """Count bytes as not written after all."""
        self._free += size

    def took(self, seconds: float) -> bool:
        """Record how long a call took, and return whether it was late."""
        self._quickest = min(self._quickest, seconds)
        return seconds > max(_LATE, self._quickest * _LATE_FACTOR)

    def slow_down(self) -> None:
        """Halve the rate, and write nothing for a moment."""
        self._refill()
        self.rate = max(self._most * _SLOWEST, self.rate / 2)
        self._free = min(self._free, 0.0)

    def _refill(self) -> None:
        now = asyncio.get_running_loop().time()
        passed = 0.0 if self._refilled_at is None else now - self._refilled_at
        self._refilled_at = now
        self._free = min(self.rate * _BURST, self._free + passed * self.rate)
        self.rate = min(self._most, self.rate + passed * self._most / _RECOVERY)
