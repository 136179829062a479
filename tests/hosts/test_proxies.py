"""The limit for each address holds in a real server, with and without a proxy, as the documentation says."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.hosts.test_hosts import OUR_APP, environ
from tests.support.servers import serve
from tests.support.stand_in import StandIn

UVICORN = ("uvicorn", "--port=PORT", "--no-access-log", OUR_APP)
ALLOWED = 5
HERE, THERE = "127.0.0.1", "127.0.0.2"  # on Linux all addresses of 127.0.0.0/8 are this machine's


class Proxy:
    """A reverse proxy for one server. `forwarded` is its treatment of X-Forwarded-For:

    "overwrite"  replaces the header by the address of the client
    "append"     appends the address of the client to the header
    "pass"       passes the client's header on, as a tunnel does
    """

    def __init__(self, server: str, forwarded: str) -> None:
        self._server_port = int(server.rpartition(":")[2])
        self._forwarded = forwarded
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._is_over = asyncio.Event()

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, sock=self._listener)
        await self._is_over.wait()
        server.close()
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one request and close the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        address = writer.get_extra_info("peername")[0]
        name = "x-forwarded-for:"
        sent = [line.partition(":")[2].strip() for line in head if line.lower().startswith(name)]
        lines = [line for line in head[:-2] if not line.lower().startswith((name, "connection:"))]
        values = {"overwrite": [address], "append": [*sent, address], "pass": sent}[self._forwarded]
        lines += [f"X-Forwarded-For: {', '.join(values)}"] if values else []
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        back.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        writer.write(await there.read())
        back.close()
        writer.close()


def answers(url: str, *, spoofed: bool, source: str = HERE, calls: int = ALLOWED + 3) -> list[int]:
    """Make calls without a token, and return their statuses. If `spoofed`, each claims another address."""
    transport = httpx.HTTPTransport(local_address=source)
    statuses = []
    with httpx.Client(transport=transport, timeout=30) as client:
        for number in range(calls):
            headers = {"X-Forwarded-For": f"198.51.{number}.7"} if spoofed else {}
            statuses.append(client.get(f"{url}/api/users", headers=headers).status_code)
    return statuses


LIMITED = [401] * ALLOWED + [429] * 3
NOT_LIMITED = [401] * (ALLOWED + 3)


@contextmanager
def limited(convex: StandIn, *options: str) -> Iterator[str]:
    limit = {"CLERK_CONVEX_ADDRESS_LIMIT": f"{ALLOWED}/hour"}
    with serve((*UVICORN, *options), environ(convex) | limit) as server:
        yield server.url


@pytest.mark.parametrize("spoofed", [False, True])
def test_without_a_proxy(convex: StandIn, spoofed: bool) -> None:
    """With --no-proxy-headers the address of the connection counts, and the header is ignored."""
    with limited(convex, "--no-proxy-headers") as url:
        assert answers(url, spoofed=spoofed) == LIMITED
        assert answers(url, spoofed=spoofed, source=THERE) == LIMITED


@pytest.mark.parametrize("forwarded", ["overwrite", "append"])
def test_behind_a_proxy_that_says_who_calls(convex: StandIn, forwarded: str) -> None:
    """A proxy on the same machine writes X-Forwarded-For. Each address has its own count, and a client cannot
    claim another address."""
    with (
        limited(convex, "--proxy-headers", f"--forwarded-allow-ips={HERE}") as url,
        Proxy(url, forwarded) as proxy,
    ):
        assert answers(proxy.url, spoofed=True, source=THERE) == LIMITED
        assert answers(proxy.url, spoofed=False, source="127.0.0.3") == LIMITED
        assert answers(proxy.url, spoofed=True, source=THERE) == [429] * (ALLOWED + 3)


def test_behind_a_proxy_that_says_nothing(convex: StandIn) -> None:
    """A proxy on the same machine passes the header on. With --no-proxy-headers all clients share one count.
    With uvicorn's defaults a client can claim any address, so the documentation names the option."""
    with limited(convex, "--no-proxy-headers") as url, Proxy(url, "pass") as proxy:
        assert answers(proxy.url, spoofed=True, source=THERE) == LIMITED
        assert answers(proxy.url, spoofed=True, source="127.0.0.3") == [429] * (ALLOWED + 3)
    with limited(convex) as url, Proxy(url, "pass") as proxy:
        assert answers(proxy.url, spoofed=True, source=THERE) == NOT_LIMITED


def test_a_proxy_elsewhere(convex: StandIn) -> None:
    """The header is ignored if the proxy's address is not among --forwarded-allow-ips."""
    with limited(convex, "--proxy-headers", "--forwarded-allow-ips=192.0.2.1") as url:
        assert answers(url, spoofed=True) == LIMITED
