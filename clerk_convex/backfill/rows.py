"""The users table beside Clerk, from the side of the rows: who is there whom Clerk does not have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from clerk_convex.backfill.reading import together
from clerk_convex.backfill.session import Session
from clerk_convex.changes import Delete
from clerk_convex.errors import ClerkNotFound

__all__ = ["confirm", "find_absent"]

_IDS = 100  # that Clerk takes in one call


async def find_absent(
    session: Session, found: Callable[[str], Awaitable[None]], counted: Callable[[int], None]
) -> None:
    """Gives `found` every row's id that Clerk does not list, which is no proof (see `confirm`).

    `counted` is told the number of rows that have been looked at, again and again.
    """
    looked_at = 0
    parts: asyncio.Queue[list[str] | None] = asyncio.Queue(session.concurrency)

    async def walk() -> None:
        async for page in session.rows():
            ids = [row["clerkId"] for row in page]
            for start in range(0, len(ids), _IDS):
                await parts.put(ids[start : start + _IDS])
        for _ in range(session.concurrency):
            await parts.put(None)

    async def look() -> None:
        nonlocal looked_at
        while (ids := await parts.get()) is not None:
            existing = await session.clerk.existing(ids)
            for clerk_id in ids:
                if clerk_id not in existing:
                    await found(clerk_id)
            looked_at += len(ids)
            counted(looked_at)

    await together(walk(), *(look() for _ in range(session.concurrency)))


async def confirm(session: Session, clerk_ids: Sequence[str]) -> list[Delete]:
    """The deletions of those whom Clerk says it does not have, asked for each one, and when it said so."""
    deletions: list[Delete] = []
    waiting = list(clerk_ids)

    async def ask() -> None:
        while waiting:
            clerk_id = waiting.pop()
            try:
                await session.clerk.get_user(clerk_id)
            except ClerkNotFound as error:
                deletions.append(Delete(clerk_id, error.observed_at, "backfill"))

    await together(*(ask() for _ in range(session.concurrency)))
    return deletions
