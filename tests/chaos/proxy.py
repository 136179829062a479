"""A proxy that loses, delays, cuts and replaces answers."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["CLERK", "CONVEX", "FRONT", "Proxy", "Trouble", "through"]

Answers = Mapping[str, bytes]


def _answer(status: int, body: object, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Chaos", f"Content-Length: {len(content)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _code(status: int, code: str) -> bytes:
    return _answer(status, {"code": code, "message": "chaos"})


_HTML = b"<html>Bad gateway</html>"
_RETRY = {"errors": [{"code": "too_many_requests", "message": "chaos", "long_message": "chaos"}]}

# Answers in place of the request, which is not passed on.
FRONT: Answers = {"502": _answer(502, _HTML), "503": _answer(503, _HTML)}
CONVEX: Answers = {
    "429 TooManyWrites": _code(429, "TooManyWrites"),
    "429 TooManyConcurrentRequests": _code(429, "TooManyConcurrentRequests"),
    "503 OCC": _code(503, "OptimisticConcurrencyControlFailure"),
    "503": _code(503, "ServiceUnavailable"),
    "502": _answer(502, _HTML),
    "560": _answer(560, {"status": "error", "errorMessage": "[Request ID: 0] Server Error"}),
    "560 without a body": _answer(560, b""),
}
CLERK: Answers = {
    "429": _answer(429, _RETRY, "Retry-After: 0"),
    "500": _answer(500, {"errors": []}),
    "502": _answer(502, _HTML),
}
# What happens to an answer that came. "early" breaks off before the request is passed on, "garbage" is a 200.
ANSWERED = ("lost", "lost", "truncated", "500 after", "hung")
GARBAGE = _answer(200, b"\x00\xff<html>{")
AFTER = _answer(500, b"")

_DATE = re.compile(rb"(?im)^date: [^\r\n]*")
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
_CONNECTION = re.compile(rb"(?im)^connection: [^\r\n]*\r\n")


@dataclass
class Trouble:
    """How much goes wrong, at all proxies that share it.

    rate: the probability of a fault of one request. 0 is calm; it may change at any time.
    hang: seconds after which a hung answer is dropped.
    """

    rate: float
    hang: float
    seed: int


class Proxy:
    """Pass requests on to one of `targets`, some of them with a fault. Run it with `through`.

    A connection carries one request, so that its answer is what arrives until the other side closes.

    answers: the answers in place of a request.
    garbage: whether an answer may be replaced by a 200 that cannot be read. To Svix any 200 is a success.
    date: returns the value of the Date header of answers, if it is not the target's own.
    """

    url: str
    """The address. Set by `through`."""

    def __init__(
        self,
        name: str,
        targets: list[str],
        answers: Answers,
        trouble: Trouble,
        *,
        garbage: bool = True,
        date: Callable[[], str] | None = None,
    ) -> None:
        self.name = name
        self.targets = targets
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self._answers = answers
        self._kinds = ("early", *answers, *ANSWERED, *(["garbage"] if garbage else []))
        self._trouble = trouble
        self._random = random.Random(f"{trouble.seed}:{name}")
        self._date = date
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The event loop keeps no task alive, and in Python 3.11 the server does not either.
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A side that breaks off is what this is about, and 64 KiB of head are no request of ours.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            self.requests += 1
            writer.write(await self._answer_to(head, body, reader))
            await writer.drain()
        writer.close()

    async def _answer_to(self, head: bytes, body: bytes, reader: asyncio.StreamReader) -> bytes:
        fault = self._random.choice(self._kinds) if self._random.random() < self._trouble.rate else ""
        if fault:
            self.faults[fault] += 1
        if fault == "early":
            return b""
        if fault in self._answers:
            return self._answers[fault]
        answer = await self._passed_on(_CONNECTION.sub(b"", head)[:-2] + b"Connection: close\r\n\r\n" + body)
        if self._date is not None:
            answer = _DATE.sub(f"date: {self._date()}".encode(), answer, count=1)
        match fault:
            case "lost":
                return b""
            case "truncated":
                return answer[: self._random.randrange(len(answer) + 1)]
            case "garbage":
                return GARBAGE
            case "500 after":
                return AFTER
            case "hung":
                with suppress(TimeoutError):  # until the caller gives up
                    await asyncio.wait_for(reader.read(1), self._trouble.hang)
                return b""
        return answer

    async def _passed_on(self, request: bytes) -> bytes:
        target = urlsplit(self._random.choice(self.targets))
        try:
            reader, writer = await asyncio.open_connection(target.hostname, target.port)
        except OSError:  # a worker that was killed
            return _answer(502, _HTML)
        try:
            writer.write(request)
            return await reader.read()
        except OSError:
            return b""
        finally:
            writer.close()


@contextmanager
def through(*proxies: Proxy) -> Iterator[None]:
    """Serve the proxies in a thread until the context ends."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        servers = [await asyncio.start_server(proxy.accept, "127.0.0.1", 0) for proxy in proxies]
        for proxy, server in zip(proxies, servers, strict=True):
            proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        stopped = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stopped))
        await stopped.wait()
        for server in servers:
            server.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="chaos-proxies", daemon=True)
    thread.start()
    loop, stopped = started.result()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
