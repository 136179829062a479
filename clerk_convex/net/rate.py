"""A limit on the rate of calls out: a token bucket whose callers wait in the order they came."""

from __future__ import annotations

import asyncio

__all__ = ["Rate"]

# Shares of the limit. A window has at most the sum of both: 95 %. The other 5 % are a margin, because calls
# take different times to arrive: the calls of two windows here may arrive in one window of the other side.
_BURST = 0.25  # calls let through together, after a time without calls
_STEADY = 0.7  # calls let through one by one, evenly over the window


class Rate:
    """Lets calls through one after the other, at most 95 % of `limit` within any `window` seconds.

    After a time without calls it lets a quarter of `limit` through together.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._interval = window / (limit * _STEADY)
        self._slack = self._interval * (limit * _BURST - 1)
        self._due = float("-inf")  # when the next call is let through, if there were no bursts
        self._waiting = 0
        self._turns: asyncio.Lock  # fair: its waiters get it in the order they came
        self._loop: asyncio.AbstractEventLoop | None = None

    async def turn(self, within: float) -> bool:
        """Wait for the caller's turn, at most `within` seconds, and return whether it came.

        Return False without waiting if it is certain that the turn does not come in time.
        """
        loop = asyncio.get_running_loop()
        if self.wait() > within:
            return False
        if loop is not self._loop:
            self._loop, self._turns = loop, asyncio.Lock()
        self._waiting += 1
        try:
            async with asyncio.timeout(within), self._turns:
                # In a loop, because `pause` may have been called during the sleep.
                while (wait := self._due - self._slack - loop.time()) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(wait)
                self._due = max(self._due, loop.time()) + self._interval
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def wait(self) -> float:
        """Return the seconds that a call made now will wait, at least."""
        now = asyncio.get_running_loop().time()
        due = max(self._due, now) + self._waiting * self._interval
        return max(0.0, due - self._slack - now)

    def pause(self, seconds: float) -> None:
        """Let no call through for so many seconds, waiting calls included. Allow no burst after that."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now + seconds + self._slack)
