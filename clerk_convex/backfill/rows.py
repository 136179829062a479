"""Finds the rows of users that Clerk does not have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from clerk_convex.backfill.reading import together
from clerk_convex.backfill.session import Session
from clerk_convex.clerk import MOST_IDS
from clerk_convex.clerk.absence import SECOND_LOOK, is_gone
from clerk_convex.entities import Delete
from clerk_convex.errors import ClerkNotFound

__all__ = ["confirm", "find_absent"]


async def find_absent(
    session: Session,
    found: Callable[[str], Awaitable[None]],
    counted: Callable[[int], None],
    unlinked: Callable[[str], None],
) -> None:
    """Pass to `found` the id of each row whose user Clerk does not list. That is no proof; see `confirm`.

    `counted` is called with the number of rows checked so far, again and again. `unlinked` gets Convex's id
    of each row without a Clerk id: such a row was there before, and the loose schema lets it stay.
    """
    looked_at = 0
    parts: asyncio.Queue[list[str] | None] = asyncio.Queue(session.concurrency)

    async def walk() -> None:
        async for page in session.rows():
            ids: list[str] = []
            for row in page:
                clerk_id = row.get("clerkId")
                if isinstance(clerk_id, str) and clerk_id:
                    ids.append(clerk_id)
                else:
                    unlinked(row["_id"])
            for start in range(0, len(ids), MOST_IDS):
                await parts.put(ids[start : start + MOST_IDS])
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
    """Return deletions of those users for which Clerk answers 404 twice; `clerk.absence` says why twice."""
    first = await _ask_for_each(session, clerk_ids)
    if not first:
        return []
    await asyncio.sleep(SECOND_LOOK)
    second = await _ask_for_each(session, list(first))
    return [
        Delete(clerk_id, error.observed_at, "backfill")
        for clerk_id, error in second.items()
        if is_gone(first[clerk_id], error)
    ]


async def _ask_for_each(session: Session, clerk_ids: Sequence[str]) -> dict[str, ClerkNotFound]:
    """Return Clerk's 404 for each user that it does not have."""
    gone: dict[str, ClerkNotFound] = {}
    waiting = iter(clerk_ids)

    async def ask() -> None:
        for clerk_id in waiting:
            try:
                await session.clerk.get_user(clerk_id)
            except ClerkNotFound as error:
                gone[clerk_id] = error

    await together(*(ask() for _ in range(session.concurrency)))
    return gone
