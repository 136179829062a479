"""Connections to one service: kept open, bounded in time and size, closed with the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import httpx

from clerk_convex.net.lifetime import close_with_loop

__all__ = ["Pool", "Response", "Trouble"]

_IDLE = 30.0  # seconds a connection is kept; servers and load balancers drop it after 60 or more

# What would be loaded with the first request: it takes longer than others on the event loop should wait.
for _module in ("httpcore", "anyio._backends._asyncio"):  # httpx's and anyio's own affairs, which may change
    with contextlib.suppress(ImportError):
        importlib.import_module(_module)
_ssl_context = httpx.create_ssl_context(trust_env=False)


class Trouble(Enum):
    """Why there is no response."""

    SLOW = auto()
    """It did not come in time."""
    UNREACHABLE = auto()
    """No connection could be opened: nothing was sent."""
    UNSENDABLE = auto()
    """The address or a header has characters that no request can carry: nothing was sent."""
    UNREADABLE = auto()
    """It is larger than allowed, or not packed as it says."""
    BROKEN = auto()
    """The connection broke, or what came is not HTTP."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a service answered.

    `seconds` is the time from asking to the head of the answer. `repeated` says that the request was sent
    before, over a connection that broke.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float
    repeated: bool


class Pool:
    """Sends requests over kept connections, opened on first use, on one event loop.

    It uses httpx's transport and not its client: that one logs every address it calls, and there may be
    personal data in a query; keeps cookies; and takes proxies and passwords from the environment.
    """

    def __init__(self, *, connect_timeout: float) -> None:
        self.connect_timeout = connect_timeout
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._lifetime: AsyncGenerator[None, None] | None = None

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout: float,  # noqa: ASYNC109 - a total, however slowly bytes drip in
        largest: int,
        repeatable: bool = True,
    ) -> Response | Trouble:
        """The response, whatever its status, or why there is none. Raises nothing: httpx's errors know the
        request, keys included.

        `timeout` is in seconds and includes connecting and reading; `largest` is in bytes, unpacked.
        A `repeatable` request that meets a connection gone stale is sent again at once.
        """
        repeated = False
        try:
            async with asyncio.timeout(timeout):
                request = httpx.Request(
                    method,
                    url,
                    headers={"Accept-Encoding": "gzip, deflate", **headers},
                    content=body,
                    extensions={"timeout": {"connect": self.connect_timeout}},
                )
                try:
                    return await self._exchange(request, largest)
                except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                    # Most likely a kept-alive connection that the server has closed meanwhile.
                    if not repeatable:
                        return Trouble.BROKEN
                repeated = True
                return await self._exchange(request, largest, repeated=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the request
            trouble = _trouble(error)
        # The first time something was sent.
        return Trouble.BROKEN if repeated and trouble is Trouble.UNREACHABLE else trouble

    async def aclose(self) -> None:
        """Closes the connections. The next request opens new ones."""
        if self._lifetime is not None:
            await self._lifetime.aclose()

    async def _exchange(self, request: httpx.Request, largest: int, *, repeated: bool = False) -> Response:
        transport = self._transport or await self._open()
        time = asyncio.get_running_loop().time
        started = time()
        response = await transport.handle_async_request(request)
        seconds = time() - started
        content = bytearray()
        async with contextlib.aclosing(response):
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > largest:
                    raise httpx.DecodingError("too large")
        return Response(response.status_code, response.headers, bytes(content), seconds, repeated)

    async def _open(self) -> httpx.AsyncHTTPTransport:
        transport = self._transport = httpx.AsyncHTTPTransport(
            verify=_ssl_context,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=_IDLE),
            trust_env=False,
        )

        async def close() -> None:
            self._transport = self._lifetime = None
            await transport.aclose()

        self._lifetime = await close_with_loop(close)
        return transport


def _trouble(error: Exception) -> Trouble:
    match error:
        case TimeoutError():
            return Trouble.SLOW
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return Trouble.UNREACHABLE
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.InvalidURL() | UnicodeError():
            return Trouble.UNSENDABLE
        case httpx.DecodingError():
            return Trouble.UNREADABLE
        case _:
            return Trouble.BROKEN
