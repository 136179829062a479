"""A scripted stand-in for a Convex deployment: an HTTP server that answers, fails or hangs on demand.

    with StandIn() as convex:
        convex.behave(status(503), then=sync())   # answer the first call with 503, all later ones with 200
        convex.calls                              # the calls so far, in order

It speaks a part of HTTP/1.1 (keep-alive, Content-Length) on a free port of 127.0.0.1, in a thread with an
event loop of its own. It stores no rows and answers "created" to every change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from clerk_convex import __version__

DEPLOY_KEY = "prod:stand-in|c2VjcmV0"
HOSTED = "[Request ID: 0123456789abcdef] Server Error"
"""The error message of a failed function in a hosted production deployment, which hides the details."""


@dataclass(frozen=True)
class Call:
    """A request. `connection` is the number of its connection, from 1."""

    target: str
    headers: dict[str, str]
    body: Any
    connection: int

    @property
    def path(self) -> str:
        return str(self.body["path"])

    @property
    def changes(self) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = self.body["args"].get("changes", [])
        return changes


Behaviour = Callable[[Call, asyncio.StreamWriter], Awaitable[None]]


class StandIn:
    """The server, which runs while the context is open. `stop` and `start` restart it at the same address."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.about: Behaviour = value({"version": __version__, "columns": []})
        """The answer to `users:about`, which is asked in the background. These calls are not in `calls`."""
        self.connections = 0
        self.port = 0
        self._behaviours: list[Behaviour] = []
        self._default: Behaviour = sync()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._arrival = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mutations(self) -> list[Call]:
        return [call for call in self.calls if call.target == "/api/mutation" and call.changes]

    def behave(self, *behaviours: Behaviour, then: Behaviour) -> None:
        """Answer the next calls with `behaviours`, one each, and all later ones with `then`."""
        self._behaviours, self._default = list(behaviours), then

    def wait_for_calls(self, count: int) -> None:
        """Block until `count` calls have arrived, a minute at most."""
        with self._arrival:
            assert self._arrival.wait_for(lambda: len(self.calls) >= count, timeout=60)

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=64 * 1024 * 1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            # Let connections that were just accepted start their tasks, which are cancelled below.
            await asyncio.sleep(0.01)
            self._server.close()
            self._server = None
            await asyncio.sleep(0.01)
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            async for call in _read_calls(reader, self.connections):
                if call.target == "/api/query" and call.path.endswith(":about"):
                    await self.about(call, writer)
                    continue
                with self._arrival:
                    self.calls.append(call)
                    self._arrival.notify_all()
                behaviour = self._behaviours.pop(0) if self._behaviours else self._default
                await behaviour(call, writer)
                await writer.drain()
        except (asyncio.CancelledError, ConnectionError):
            pass  # the server was stopped, or the client has closed the connection
        finally:
            self._open.discard(task)
            writer.transport.abort()


async def _read_calls(reader: asyncio.StreamReader, connection: int) -> AsyncIterator[Call]:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            yield Call(head[0].split()[1], headers, json.loads(body or b"null"), connection)


def _response(code: int, body: bytes, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {code} Whatever",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(code: int, body: object = None, *headers: str) -> Behaviour:
    """Answer with this status and body. Bytes are sent as they are, other values as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def behaviour(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(_response(code, content, *headers))

    return behaviour


def raw(content: bytes) -> Behaviour:
    """Send these bytes and close the connection. They need not be HTTP."""

    async def behaviour(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        raise ConnectionResetError

    return behaviour


def value(result: object) -> Behaviour:
    return answer(200, {"status": "success", "value": result, "logLines": []})


def failure(message: str = HOSTED, *, code: int = 200, **more: object) -> Behaviour:
    """Answer as a function that has failed."""
    return answer(code, {"status": "error", "errorMessage": message, "logLines": [], **more})


def status(code: int, short: str = "InternalServerError", message: str = "Try again") -> Behaviour:
    """Answer with an error of Convex's infrastructure."""
    return answer(code, {"code": short, "message": message})


def sync(
    *,
    base: float = 0.0,
    per_change: float = 0.0,
    at_once: int = 1000,
    refuse: Callable[[dict[str, Any]], bool] = lambda change: False,
    message: str = HOSTED,
) -> Behaviour:
    """Answer as syncUsers does, after `base` + `per_change` seconds for each change.

    at_once: the greatest number of calls in progress; the others wait.
    refuse: returns whether a change is refused, which makes the whole call fail with `message`.
    """
    slots = asyncio.Semaphore(at_once)

    async def behaviour(call: Call, writer: asyncio.StreamWriter) -> None:
        async with slots:
            if base or per_change:
                await asyncio.sleep(base + per_change * len(call.changes))
        result = (
            failure(message) if any(map(refuse, call.changes)) else value(["created"] * len(call.changes))
        )
        await result(call, writer)

    return behaviour


def after(seconds: float, behaviour: Behaviour) -> Behaviour:
    """Wait for `seconds`, then answer with `behaviour`."""

    async def late(call: Call, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await behaviour(call, writer)

    return late


async def hang(call: Call, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def drop(call: Call, writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    raise ConnectionResetError


async def drip_headers(call: Call, writer: asyncio.StreamWriter) -> None:
    """Send an endless head, a byte every 20 ms, so that no single read times out."""
    await _drip(writer, b"HTTP/1.1 200 OK\r\nX-Slow: ")


async def drip_body(call: Call, writer: asyncio.StreamWriter) -> None:
    """Send a body of a million bytes, a byte every 20 ms."""
    await _drip(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")


async def _drip(writer: asyncio.StreamWriter, start: bytes) -> None:
    writer.write(start)
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)
