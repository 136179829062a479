"""At most so many calls in a while: a token bucket whose callers wait in the order they came."""

from __future__ import annotations

import asyncio

__all__ = ["Rate"]

# Of what is allowed in a window: this much at once, this much trickling in. The rest is the margin for calls
# that take unlike long on their way.
_AT_ONCE = 0.25
_TRICKLE = 0.7


class Rate:
    """Lets calls through: within any `window` seconds 95 % of `limit`, a quarter of `limit` at once."""

    def __init__(self, limit: int, window: float) -> None:
        self._interval = window / (limit * _TRICKLE)
        self._slack = self._interval * (limit * _AT_ONCE - 1)
        self._due = float("-inf")  # when the next call would be let through if none were at once
        self._waiting = 0
        self._turns: asyncio.Lock  # fair: who came first gets it first
        self._loop: asyncio.AbstractEventLoop | None = None

    async def turn(self, within: float) -> bool:
        """Waits for the caller's turn. False if it does not come in time; at once if that is certain."""
        loop = asyncio.get_running_loop()
        if self.wait() > within:
            return False
        if loop is not self._loop:
            self._loop, self._turns = loop, asyncio.Lock()
        self._waiting += 1
        try:
            async with asyncio.timeout(within), self._turns:
                # Again after the sleep, because a pause may have come meanwhile.
                while (wait := self._due - self._slack - loop.time()) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(wait)
                self._due = max(self._due, loop.time()) + self._interval
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def wait(self) -> float:
        """Seconds that a call which comes now will wait, at least."""
        now = asyncio.get_running_loop().time()
        due = max(self._due, now) + self._waiting * self._interval
        return max(0.0, due - self._slack - now)

    def pause(self, seconds: float) -> None:
        """Lets nobody through for so long, those included who wait already, and nobody at once after it."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now + seconds + self._slack)
