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
# Seconds after the first look at those who seem to be gone: the second look is late enough if Clerk answers
# it within a second, the others are for a Clerk that takes up to half a minute.
_LOOKS = (5.0, 15.0, 40.0)


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
    """Return the deletions of those users that Clerk has not, asked for each one at two times.

    One 404 alone proves too little. It may be a stray one. And its stamp is up to some seconds too early, so
    that an event of the user's last second would seem to be later than it, and would bring the row back. The
    stamp of the second one, taken after the latest moment at which the first can have been true, is later
    than all that ever happened to the user. A user without such a stamp is left alone.
    """
    gone = await _ask_for_each(session, clerk_ids)
    asked_at = asyncio.get_running_loop().time()
    gone_by = {clerk_id: error.gone_by for clerk_id, error in gone.items()}
    deletions: list[Delete] = []
    for seconds in _LOOKS:
        if not gone:
            break
        await asyncio.sleep(asked_at + seconds - asyncio.get_running_loop().time())
        gone = await _ask_for_each(session, list(gone))
        sure = {clerk_id: error for clerk_id, error in gone.items() if error.observed_at > gone_by[clerk_id]}
        deletions += [Delete(clerk_id, error.observed_at, "backfill") for clerk_id, error in sure.items()]
        gone = {clerk_id: error for clerk_id, error in gone.items() if clerk_id not in sure}
    return deletions


async def _ask_for_each(session: Session, clerk_ids: Sequence[str]) -> dict[str, ClerkNotFound]:
    """Return what Clerk says of each user that it does not have."""
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
