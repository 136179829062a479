"""Request bodies, read with limits on size, on time, and on the memory that all of them take."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from clerk_convex.net.alarms import Alarms
from clerk_convex.net.per_loop import PerLoop

__all__ = ["BodyRefused", "closing", "read_body"]

# Bytes of incomplete bodies that one event loop holds at most: 64 of the largest webhooks.
_BUDGET = 32 * 1024 * 1024


class BodyRefused(Exception):
    """A body that is not accepted. The text says why; `status` is the HTTP status of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def read_body(receive: Receive, length: str, *, largest: int, within: float) -> bytes:
    """Return the body that a request receives.

    length: the header Content-Length, "" without one.
    largest: the limit in bytes. The bytes received count; `length` only makes a refusal earlier.
    within: the seconds until the body must be complete.

    Raises BodyRefused with one of these statuses:

    413 the body is over `largest` bytes. If Content-Length says so, nothing is read.
    408 the body is not complete in time.
    503 all incomplete bodies together exceed the memory limit, and this one is the largest.
    """
    too_large = f"The body is over {largest} bytes."
    if length.isdecimal() and (len(length) > 15 or int(length) > largest):
        raise BodyRefused(413, too_large)
    incomplete, reading, is_complete = _incomplete.get(), _Reading(), False
    deadline = incomplete.deadlines(within).set(reading)
    try:
        async with reading.timeout:
            while not is_complete and not reading.is_given_up:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk: bytes = message.get("body", b"")
                if len(reading.body) + len(chunk) > largest:
                    raise BodyRefused(413, too_large)
                is_complete = not message.get("more_body", False)
                if is_complete and not reading.body:  # as most are
                    return chunk
                incomplete.add(reading, chunk)
    except TimeoutError:
        if not reading.is_given_up:
            raise BodyRefused(
                408,
                f"The body was not there after {within:.0f} s. Either its sender is slow, or a middleware in"
                " front has read it and not passed it on.",
            ) from None
    finally:
        deadline.discard(reading)
        incomplete.remove(reading)
    if reading.is_given_up:
        raise BodyRefused(503, "Too many large bodies arrive at once. Try again later.")
    return bytes(reading.body)


def closing(scope: Scope) -> dict[str, str]:
    """Return the headers of an answer to a request whose body was not read: they close the connection.

    With them the server need not read the rest. HTTP/2 and HTTP/3 forbid the header, so there is none.
    """
    return {"Connection": "close"} if scope.get("http_version", "1.1") in {"1.0", "1.1"} else {}


class _Reading:
    """A body that is being received."""

    __slots__ = ("body", "is_given_up", "timeout")

    def __init__(self) -> None:
        self.body = bytearray()
        self.is_given_up = False
        self.timeout = asyncio.timeout(None)

    def expire(self) -> None:
        """Wake the task that reads the body, with a TimeoutError."""
        if not self.timeout.expired():
            self.timeout.reschedule(0.0)


class _Incomplete:
    """The incomplete bodies of one event loop, and their total size.

    When they exceed `_BUDGET`, the largest one is refused. Clerk's events are a few kilobytes and arrive in
    one piece, so an attacker would need thousands of smaller incomplete bodies to have one refused.
    """

    def __init__(self) -> None:
        self._readings: dict[_Reading, None] = {}
        self._deadlines: dict[float, Alarms[_Reading]] = {}  # by their seconds
        self.bytes = 0

    def deadlines(self, seconds: float) -> Alarms[_Reading]:
        """Return the alarms that end the reading of bodies after so many seconds."""
        try:
            return self._deadlines[seconds]
        except KeyError:
            alarms = self._deadlines[seconds] = Alarms(seconds, _Reading.expire)
            return alarms

    def add(self, reading: _Reading, chunk: bytes) -> None:
        if reading.is_given_up:  # refused while this chunk was being received
            return
        self._readings[reading] = None
        reading.body += chunk
        self.bytes += len(chunk)
        while self.bytes > _BUDGET:
            largest = max(
                self._readings, key=lambda each: len(each.body)
            )  # of several equally large ones the oldest
            self.remove(largest)
            largest.is_given_up = True
            if largest is not reading:
                largest.expire()

    def remove(self, reading: _Reading) -> None:
        if reading in self._readings:
            del self._readings[reading]
            self.bytes -= len(reading.body)


_incomplete = PerLoop(_Incomplete)
