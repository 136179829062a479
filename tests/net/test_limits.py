"""Callers beyond a limit have to wait: counted in memory, and by several processes in a real Redis."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from benchmarks.ports import free_port
from clerk_convex.errors import SettingsError
from clerk_convex.net.limits import Limit, Limiter, network

pytestmark = pytest.mark.anyio

PROGRAM = shutil.which("redis-server")
TEN = Limit("10/minute", "calls")


class RedisServer:
    """A real Redis on a free port of 127.0.0.1 that stores nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [PROGRAM or "redis-server", *arguments, "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        with Redis(port=self.port) as client:
            while True:
                assert self._process.poll() is None, "redis-server has ended"
                try:
                    client.ping()
                except RedisConnectionError:
                    time.sleep(0.02)
                else:
                    return

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    if PROGRAM is None and "CI" not in os.environ:
        pytest.skip("there is no redis-server on this machine (in CI that is a failure)")
    with RedisServer(folder) as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


async def allowed(limiter: Limiter, limit: Limit = TEN, key: str = "user_1", calls: int = 1000) -> int:
    waits = await asyncio.gather(*(limiter.hit(limit, key) for _ in range(calls)))
    assert all(wait == 0.0 or 1.0 <= wait <= 61.0 for wait in waits)
    return waits.count(0.0)


# In memory


async def test_concurrent_calls_of_each_caller() -> None:
    """Of a thousand concurrent calls exactly the allowed number is accepted, for each caller."""
    limiter = Limiter()
    assert await allowed(limiter) == 10
    assert await allowed(limiter) == 0
    assert await allowed(limiter, key="user_2") == 10
    assert await allowed(limiter, Limit("20/minute", "others")) == 20


async def test_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that the answer gives, calls are accepted again, and not before."""
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    limiter = Limiter()
    assert await allowed(limiter) == 10
    now += 17.5
    assert await limiter.hit(TEN, "user_1") == 43.0
    now += 42.0
    assert await allowed(limiter) == 0
    now += 1.0
    assert await allowed(limiter) == 10


def test_limits_as_text() -> None:
    """A limit is written as in the settings, and shown in words."""
    assert str(Limit("60/minute", "calls")) == "60 in a minute"


@pytest.mark.parametrize(
    ("one", "other", "are_together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:2::1", "2001:db8:0:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("testclient", None, True),
        ("testclient", "192.0.2.1", False),
    ],
)
def test_networks(one: str | None, other: str | None, are_together: bool) -> None:
    """An IPv4 address and an IPv6 /64 are counted separately. All hosts without an address count as one."""
    assert (network(one) == network(other)) is are_together
    assert not any(part in network(one) for part in ("192", "2001", "."))


async def test_many_addresses_of_one_customer() -> None:
    """All addresses of an IPv6 /64, and all spellings of an IPv4 address, count as one caller."""
    limiter = Limiter()
    for addresses in (
        [f"2001:db8:0:7::{number:x}" for number in range(1, 1000)],
        ["192.0.2.9", "::ffff:192.0.2.9", "::ffff:c000:209", "0:0:0:0:0:ffff:c000:209"] * 25,
        [f"not-an-address-{number}" for number in range(100)] + [None, ""],
    ):
        waits = [await limiter.hit(TEN, network(address)) for address in addresses]
        assert waits.count(0.0) == 10
        assert waits[:10] == [0.0] * 10


async def test_very_many_addresses() -> None:
    """However many addresses call, memory stays bounded."""
    limiter = Limiter()
    for number in range(20_000):
        await limiter.hit(TEN, network(f"10.{number % 250}.{number // 250}.7"))
    assert len(limiter._memory.storage.storage) <= 4096  # type: ignore[attr-defined]


# In Redis

TWO_PROCESSES = """
import asyncio, sys
from clerk_convex.net.limits import Limiter
from tests.net.test_limits import TEN, Limit, allowed

async def main():
    limiter = Limiter(sys.argv[1])
    await limiter.hit(Limit("10/minute", "warm-up"), "x")
    print("ready", flush=True)
    sys.stdin.readline()
    print(await allowed(limiter, Limit("100/minute", "calls")))

asyncio.run(main())
"""


def test_two_processes(redis: RedisServer) -> None:
    """Of a thousand concurrent calls in each of two processes exactly the allowed number is accepted."""
    command = [sys.executable, "-W", "error", "-c", TWO_PROCESSES, redis.url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    through = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(through) == 100
    with Redis(port=redis.port, decode_responses=True) as client:
        keys = list(client.scan_iter("*"))
        assert all(key.startswith("clerk_convex:") for key in keys)
        assert all(0 < int(str(client.ttl(key))) <= 61 for key in keys)


async def test_redis_down(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While Redis is down a process counts alone and logs that once. It uses Redis again when it is up."""
    monkeypatch.setattr("clerk_convex.net.limits._REDIS_PAUSE", 3600.0)
    caplog.set_level(logging.WARNING)
    limiter = Limiter(redis.url)
    assert await allowed(limiter, calls=5) == 5
    redis.stop()
    assert await allowed(limiter) == 10
    assert await allowed(limiter) == 0
    (record,) = caplog.records
    assert record.getMessage() == (
        "Redis does not answer (ConnectionError). Until it does, each process counts calls separately. Is"
        " CLERK_CONVEX_REDIS_URL its address?"
    )
    redis.start()
    assert await allowed(limiter) == 0  # not immediately
    assert limiter._redis is not None
    limiter._redis._down_until = 0.0
    assert await allowed(limiter) == 10


async def test_check(redis: RedisServer) -> None:
    """It counts a call in Redis as others are counted, and raises what Redis answers."""
    await Limiter().check()
    await Limiter(redis.url).check()
    with Redis(port=redis.port, decode_responses=True) as client:
        assert list(client.scan_iter("*check*"))
    redis.stop()
    with pytest.raises(RedisConnectionError):
        await Limiter(redis.url).check()


async def test_redis_closes_connections(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that Redis has closed is replaced without an error."""
    limiter = Limiter(redis.url)
    assert await allowed(limiter, calls=6) == 6
    with Redis(port=redis.port) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert await allowed(limiter) == 4
    assert not caplog.records


async def test_redis_is_asked_again_after_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So not every call waits for a Redis that is down."""
    loop = asyncio.get_running_loop()
    asked, ahead, time_of_loop = 0, 0.0, loop.time
    monkeypatch.setattr(loop, "time", lambda: time_of_loop() + ahead)

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.transport.abort()

    async with await asyncio.start_server(drop, "127.0.0.1", 0) as server:
        limiter = Limiter(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        seen = []
        for seconds in (0.0, 1.0, 6.0, 7.0, 12.0):
            ahead = seconds
            assert await limiter.hit(TEN, "user_1") == 0.0
            seen.append(asked)
    assert 0 < seen[0] == seen[1] < seen[2] == seen[3] < seen[4]


async def test_redis_hangs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """If Redis accepts connections and does not answer, callers wait once, and briefly."""
    monkeypatch.setattr("clerk_convex.net.limits._REDIS_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limiter = Limiter(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert await allowed(limiter) == 10
        assert await allowed(limiter) == 0
        assert time.monotonic() - started < 30
    assert caplog.text.count("Redis does not answer") == 1


def test_connections_end_with_the_loop(redis: RedisServer) -> None:
    """No connection outlives its event loop."""

    async def main() -> None:
        assert await allowed(Limiter(redis.url), calls=3) == 3

    with Redis(port=redis.port) as client:
        for _ in range(3):
            asyncio.run(main())
        deadline = time.monotonic() + 5
        while len(client.client_list()) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_redis_is_waited_for_two_seconds() -> None:
    """By sixteen calls at most at a time, with a connection each."""
    redis = Limiter("redis://127.0.0.1:9")._redis
    assert redis is not None
    options = redis._pool.connection_kwargs
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (2.0, 2.0)
    assert redis.slots._value == 16


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed address and a missing package are reported immediately, without the password."""
    with pytest.raises(SettingsError, match="malformed") as caught:
        Limiter("redis://:s3cret@127.0.0.1:port/0")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "s3cret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(SettingsError, match=r"pip install 'clerk-convex\[redis\]'"):
        Limiter("redis://127.0.0.1:1/0")
