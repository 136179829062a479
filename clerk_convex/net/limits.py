"""Limits on incoming calls, counted in this process or, for all replicas together, in Redis."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any
from zlib import crc32

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter

from clerk_convex.errors import SettingsError
from clerk_convex.net.lifetime import close_with_loop
from clerk_convex.net.logs import OnceAMinute

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

__all__ = ["Limit", "Limiter", "network"]

logger = logging.getLogger("clerk_convex")

_REDIS_CONNECTIONS = 16
_REDIS_TIMEOUT = 2.0  # seconds to connect, and to get an answer
_REDIS_PAUSE = 5.0  # seconds after a failure of Redis until it is used again
_NETWORKS = 4096  # counters for addresses


class Limit:
    """A number of calls in a fixed window, written "60/minute". The window starts with the first call.

    Limits with different names count separately.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.item: RateLimitItem = parse(text)
        self._text = text.replace("/", " in a ")

    def __str__(self) -> str:
        return self._text


class Limiter:
    """Counts calls, in memory or in Redis at `redis_url` (redis:// or rediss://).

    In memory, each event loop of each process counts separately. With Redis they all share the counters.
    While Redis is down, they count separately again and log that: calls are neither all rejected nor all
    accepted.

    One limiter serves one event loop. It connects on first use and closes with the loop.
    Raises SettingsError if the redis package is missing or the URL is malformed.
    """

    def __init__(self, redis_url: str | None = None) -> None:
        self._memory = FixedWindowRateLimiter(MemoryStorage())
        self._redis = None if redis_url is None else _Redis(redis_url)

    async def hit(self, limit: Limit, key: str) -> float:
        """Count a call of the caller `key`. Return the seconds until it is allowed: 0.0 if it is now."""
        if self._redis is not None:
            async with self._redis.slots:  # more connections would not be faster
                if await self._redis.is_up():
                    try:
                        return await _hit(self._redis.limiter, limit, key)
                    except Exception as error:  # noqa: BLE001 - the call must be answered in any case
                        self._redis.fail(error)
        return await _hit(self._memory, limit, key)

    async def check(self) -> None:
        """Count a call of nobody in Redis, and raise the error if that fails. Without Redis do nothing."""
        if self._redis is not None:
            await self._redis.is_up()  # so that its connections close with the loop
            await _hit(self._redis.limiter, Limit("60/minute", "check"), "check")


def network(host: str | None) -> str:
    """Return the key under which calls without a valid token are counted. `host` is the client's address.

    All addresses of an IPv6 /64 share a key, because a provider gives one customer a whole /64. Keys are
    hashes with 4,096 values: many addresses cannot fill the memory, and no address is stored.
    """
    try:
        address = ip_address(host or "")
    except ValueError:
        return "elsewhere"  # a Unix socket, or a host name from a proxy
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64)
    return str(crc32(address.packed) % _NETWORKS)


class _Redis:
    def __init__(self, url: str) -> None:
        self._pool = _connections(url)
        options: dict[str, Any] = {"connection_pool": self._pool}  # documented, but not in its types
        storage = RedisStorage(url, implementation="redispy", key_prefix="clerk_convex", **options)
        self.limiter = FixedWindowRateLimiter(storage)
        self.slots = asyncio.Semaphore(_REDIS_CONNECTIONS)
        self._is_used = False
        self._down_until = float("-inf")
        self._once_a_minute = OnceAMinute()

    async def is_up(self) -> bool:
        """Return False for some seconds after a failure, so that not every call waits for a timeout."""
        if not self._is_used:
            self._is_used = True
            await close_with_loop(self._pool.disconnect)
        return asyncio.get_running_loop().time() >= self._down_until

    def fail(self, error: Exception) -> None:
        self._down_until = asyncio.get_running_loop().time() + _REDIS_PAUSE
        if self._once_a_minute.should_log():
            logger.warning(
                "Redis does not answer (%s). Until it does, each process counts calls separately. Is"
                " CLERK_CONVEX_REDIS_URL its address?",
                type(error).__name__,
            )


def _connections(url: str) -> ConnectionPool:
    # The package is optional: only CLERK_CONVEX_REDIS_URL needs it.
    try:
        from redis.asyncio import ConnectionPool
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise SettingsError(
            "CLERK_CONVEX_REDIS_URL is set, but redis is not installed: pip install 'clerk-convex[redis]'."
        ) from None
    try:
        return ConnectionPool.from_url(
            url,
            socket_connect_timeout=_REDIS_TIMEOUT,
            socket_timeout=_REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 1),  # one retry, over a new connection
        )
    except ValueError:  # the text of the ValueError may quote the password
        malformed = SettingsError("CLERK_CONVEX_REDIS_URL is malformed; it is written redis://host:6379/0.")
    raise malformed


async def _hit(limiter: FixedWindowRateLimiter, limit: Limit, key: str) -> float:
    if await limiter.hit(limit.item, limit.name, key):
        return 0.0
    ends_at, _ = await limiter.get_window_stats(limit.item, limit.name, key)
    return max(1.0, math.ceil(ends_at - time.time()))
