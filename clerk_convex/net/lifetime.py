"""Clean-up at the end of an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["close_with_loop"]

# Strong references: the garbage collector must not close one early, while its loop is still in use.
_lifetimes: set[AsyncGenerator[None, None]] = set()


async def close_with_loop(close: Callable[[], Awaitable[object]]) -> AsyncGenerator[None, None]:
    """Call `close` when the running event loop ends; return a handle whose `aclose` calls it before that.

    It needs no lifespan: many frameworks never run the lifespan of an app that is mounted into another one.
    An event loop that ends closes all asynchronous generators that are still open; this is one.
    """

    async def live() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _lifetimes.discard(lifetime)
            await close()

    lifetime = live()
    _lifetimes.add(lifetime)
    await anext(lifetime)
    return lifetime
