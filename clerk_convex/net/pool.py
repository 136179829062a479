"""Connections to one service: kept open, limited in time and size, closed with the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import httpx

from clerk_convex.net.lifetime import close_with_loop

__all__ = ["Pool", "Response", "Trouble", "trusted"]

_IDLE = 30.0  # seconds a connection is kept; servers and load balancers drop it after 60 or more

# Loaded now and not with the first request, which would block the event loop for tens of milliseconds.
for _module in ("httpcore", "anyio._backends._asyncio"):  # details of httpx and anyio, which may change
    with contextlib.suppress(ImportError):
        importlib.import_module(_module)


def trusted() -> ssl.SSLContext:
    """Return who is trusted: the authorities of certifi, and those that SSL_CERT_FILE or SSL_CERT_DIR names.

    certifi's are there on every system. Only with the variables a private authority is known.
    """
    context = httpx.create_ssl_context(trust_env=False)
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        context.load_default_certs()  # reads both, and ignores a file that is not there
    return context


_ssl_context = trusted()


class Trouble(Enum):
    """The reason why there is no response."""

    SLOW = auto()
    """The response did not come in time."""
    UNREACHABLE = auto()
    """No connection could be opened: nothing was sent."""
    UNSENDABLE = auto()
    """The address or a header has characters that no request can carry: nothing was sent."""
    UNREADABLE = auto()
    """The response is larger than allowed, or not compressed as its headers say."""
    BROKEN = auto()
    """The connection broke, or the response is not HTTP."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer of a service, whatever its status.

    `seconds` is the time from the request to the head of the response. `repeated` is True if the request was
    sent twice, the first time over a connection that broke.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float
    repeated: bool


class Pool:
    """Sends requests over connections that are opened on first use and kept. It serves one event loop.

    It uses httpx's transport and not httpx's client. The client logs every URL, and a query may hold personal
    data; it stores cookies; and it takes proxies and passwords from the environment.
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
        timeout: float,  # noqa: ASYNC109 - for all of it, however slowly bytes arrive
        largest: int,
        repeatable: bool = True,
    ) -> Response | Trouble:
        """Send a request and return the response, or the reason why there is none.

        It raises nothing, because httpx's errors hold the request, keys included.

        timeout: seconds for all of it, connecting and reading included.
        largest: bytes of the response's body, uncompressed.
        repeatable: send the request again, without a pause, if its connection turns out to be closed.
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
                    # Most likely the server had closed a kept connection.
                    if not repeatable:
                        return Trouble.BROKEN
                repeated = True
                return await self._exchange(request, largest, repeated=True)
        except Exception as error:  # noqa: BLE001 - the text of any error may hold the request
            trouble = _trouble(error)
        # UNREACHABLE means that nothing was sent, but the first attempt was.
        return Trouble.BROKEN if repeated and trouble is Trouble.UNREACHABLE else trouble

    async def aclose(self) -> None:
        """Close the connections. The next request opens new ones."""
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
