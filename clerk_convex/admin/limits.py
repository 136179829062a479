"""How often someone may call: counted in this process, or in Redis by all replicas together."""

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
_REDIS_TIMEOUT = 2.0  # seconds
_REDIS_PAUSE = 5.0  # seconds without Redis after it failed
_NETWORKS = 4096


class Limit:
    """So many calls in a window that begins with the first: "60/minute". `name` tells it from others."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.item: RateLimitItem = parse(text)
        self._text = text.replace("/", " in a ")

    def __str__(self) -> str:
        return self._text


class Limiter:
    """Counts calls, in memory or at `redis_url` (redis:// or rediss://).

    In memory, each event loop of each process counts for itself. With Redis all count together; while it is
    down each counts for itself again and says so in the log: so nobody is locked out, and not all let in.

    One limiter serves one event loop. It connects on first use and closes with the loop.
    Raises SettingsError if the redis package is missing or the URL is malformed.
    """

    def __init__(self, redis_url: str | None = None) -> None:
        self._memory = FixedWindowRateLimiter(MemoryStorage())
        self._redis = None if redis_url is None else _Redis(redis_url)

    async def hit(self, limit: Limit, key: str) -> float | None:
        """Counts a call of whoever `key` stands for. None lets it through, else the seconds to wait."""
        if self._redis is not None:
            async with self._redis.slots:  # a thousand connections would be no faster
                if await self._redis.is_up():
                    try:
                        return await _hit(self._redis.limiter, limit, key)
                    except Exception as error:  # noqa: BLE001 - whatever it is, the call must be answered
                        self._redis.fail(error)
        return await _hit(self._memory, limit, key)


def network(host: str | None) -> str:
    """Whom a call without a valid token is counted for, by the address the server gives.

    An IPv6 network of 64 bits is one customer's. The networks share 4,096 counters, so that someone with very
    many addresses fills no memory, and no address is kept anywhere.
    """
    try:
        address = ip_address(host or "")
    except ValueError:
        return "elsewhere"  # a Unix socket, or a name that a proxy gave
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
        self._sayings = OnceAMinute()

    async def is_up(self) -> bool:
        """False for a while after it failed, so that not every call waits for it in vain."""
        if not self._is_used:
            self._is_used = True
            await close_with_loop(self._pool.disconnect)
        return asyncio.get_running_loop().time() >= self._down_until

    def fail(self, error: Exception) -> None:
        self._down_until = asyncio.get_running_loop().time() + _REDIS_PAUSE
        if self._sayings.is_due():
            logger.warning(
                "Redis cannot be asked (%s): until it can, each process counts calls for itself. Is"
                " CLERK_CONVEX_REDIS_URL its address?",
                type(error).__name__,
            )


def _connections(url: str) -> ConnectionPool:
    # Only who sets CLERK_CONVEX_REDIS_URL needs the package.
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
            retry=Retry(NoBackoff(), 1),  # once more, over a new connection
        )
    except ValueError:  # its text may quote the password
        malformed = SettingsError("CLERK_CONVEX_REDIS_URL is malformed; it is written redis://host:6379/0.")
    raise malformed


async def _hit(limiter: FixedWindowRateLimiter, limit: Limit, key: str) -> float | None:
    if await limiter.hit(limit.item, limit.name, key):
        return None
    ends_at, _ = await limiter.get_window_stats(limit.item, limit.name, key)
    return max(1.0, math.ceil(ends_at - time.time()))
