"""Bodies of requests, read within bounds: of size, of time, and of memory for all of them together."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from clerk_convex.net.per_loop import PerLoop

__all__ = ["BodyRefused", "closing", "read_body"]

_BUDGET = 32 * 1024 * 1024  # bytes that an event loop holds of incomplete bodies; 64 of the largest webhooks


class BodyRefused(Exception):
    """Why a body is not taken, in words; `status` is what its sender is answered with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def read_body(request: Request, *, largest: int, within: float) -> bytes:
    """Return the body, whatever its Content-Length says.

    Raises BodyRefused with one of these statuses:

    413 over `largest` bytes; where Content-Length says so, nothing is read
    408 not there `within` so many seconds
    503 the event loop holds too many bytes of incomplete bodies, and of this one the most
    """
    too_large = f"The body is over {largest} bytes."
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 15 or int(length) > largest):
        raise BodyRefused(413, too_large)
    incomplete, reading, is_complete = _incomplete.get(), _Reading(), False
    try:
        async with asyncio.timeout(within) as reading.timeout:
            while not is_complete and not reading.is_given_up:
                message = await request.receive()
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
        incomplete.remove(reading)
    if reading.is_given_up:
        raise BodyRefused(503, "Larger bodies arrive here at once than there is memory for.")
    return bytes(reading.body)


def closing(request: Request) -> dict[str, str]:
    """Headers of an answer to a request whose body was not read, so that the server need not read it."""
    # HTTP/2 and HTTP/3 have no such header, and servers refuse to send it.
    return {"Connection": "close"} if request.scope.get("http_version", "1.1") in {"1.0", "1.1"} else {}


class _Reading:
    """A body that is on its way."""

    timeout: asyncio.Timeout

    def __init__(self) -> None:
        self.body = bytearray()
        self.is_given_up = False


class _Incomplete:
    """The bodies on their way to an event loop, and how many bytes of them there are.

    If there are too many, the largest body is given up. Events of Clerk's are a few kilobytes and complete at
    once: a sender who wants them refused has to hold back thousands of bodies that are smaller.
    """

    def __init__(self) -> None:
        self._readings: dict[_Reading, None] = {}
        self.bytes = 0

    def add(self, reading: _Reading, chunk: bytes) -> None:
        if reading.is_given_up:  # while this chunk was on its way
            return
        self._readings[reading] = None
        reading.body += chunk
        self.bytes += len(chunk)
        while self.bytes > _BUDGET:
            largest = max(self._readings, key=lambda each: len(each.body))  # of several the oldest
            self.remove(largest)
            largest.is_given_up = True
            if largest is not reading and not largest.timeout.expired():
                largest.timeout.reschedule(0.0)  # which ends its waiting

    def remove(self, reading: _Reading) -> None:
        if reading in self._readings:
            del self._readings[reading]
            self.bytes -= len(reading.body)


_incomplete = PerLoop(_Incomplete)
