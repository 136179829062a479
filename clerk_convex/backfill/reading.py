"""Reads all users of Clerk: several ranges at once, and the next page while the one before is dealt with."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from clerk_convex.backfill.ranges import PAGE, Range, Span, Walk, created_at, to_ranges, to_split
from clerk_convex.clerk import Clerk, Page
from clerk_convex.errors import (
    ClerkConvexError,
    ClerkError,
    ClerkMisconfigured,
    ClerkNotFound,
    ClerkUnavailable,
)

__all__ = ["find_user", "plan", "read", "together"]

Handle = Callable[[Page], Awaitable[None]]
"""Deals with a page's users."""
Moved = Callable[[int, Range], Awaitable[None]]
"""Is told that a range's users are dealt with up to its position: the range's number, and the range now."""

_RANGES_EACH = 2  # for each of those that are read at once: so that a long one is not left over
_SECOND_404 = 1.0  # seconds after the first one, which may be a gateway's
_MOST_DIVISIONS = 16  # of a span into halves; what is left has the same created_at, nearly


async def plan(clerk: Clerk, total: int, concurrency: int) -> list[Range]:
    """Ranges with about as many users each, found by counting: users never come evenly over the years."""
    ranges = concurrency * _RANGES_EACH
    if not to_split([Span(0, 2, total)], total, ranges):
        return [Range()]  # too few to be worth a call
    oldest, newest = await asyncio.gather(_edge(clerk, "+created_at"), _edge(clerk, "-created_at"))
    if oldest is None or newest is None:
        return [Range()]
    spans = [Span(int(oldest), int(newest) + 1, total)]
    for _ in range(_MOST_DIVISIONS):
        parts = to_split(spans, total, ranges)
        if not parts:
            break
        halves = await asyncio.gather(*(_divide(clerk, part) for part in parts))
        spans = sorted(
            [span for span in spans if span not in parts] + [half for two in halves for half in two]
        )
    return to_ranges(spans, total, ranges)


async def read(clerk: Clerk, ranges: Sequence[Range], handle: Handle, moved: Moved, concurrency: int) -> None:
    """Gives every user to `handle`, page by page.

    At most `concurrency` ranges are read at once, with one page of each on its way from Clerk and one in
    `handle`: that is all that is held in memory. The first error ends it.
    """
    waiting = deque(enumerate(ranges))

    async def work() -> None:
        while waiting:
            number, part = waiting.popleft()
            await _read_range(clerk, number, part, handle, moved)

    await together(*(work() for _ in range(concurrency)))


async def together(*jobs: Awaitable[None]) -> None:
    """Runs the jobs at the same time. The first error ends the others, and is raised as it is."""

    async def run(job: Awaitable[None]) -> None:
        await job

    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(run(job))
    except BaseExceptionGroup as errors:
        _, unexpected = errors.split(ClerkConvexError)
        if unexpected is not None:
            raise
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def _read_range(clerk: Clerk, number: int, part: Range, handle: Handle, moved: Moved) -> None:
    walk = Walk(part)

    async def deal_with(page: Page, reached: Range) -> None:
        if page.users:
            await handle(page)
        await moved(number, reached)

    async with asyncio.TaskGroup() as group:
        dealing = group.create_task(asyncio.sleep(0))  # with nothing yet
        while not walk.is_done:
            try:
                page = await _ask(clerk, walk)
            except ClerkConvexError:
                await dealing  # what was read before is written, and counted
                raise
            if page is None:
                continue
            reached = Range(part.after, part.before, walk.position, walk.is_done)
            await dealing
            dealing = group.create_task(deal_with(page, reached))


async def _ask(clerk: Clerk, walk: Walk) -> Page | None:
    """The next of the range's users; None if the cursor's user is gone, and it has to be asked otherwise."""
    cursor = walk.cursor
    try:
        page = await clerk.list_users(limit=PAGE, order_by="+created_at", **walk.question)
    except (ClerkMisconfigured, ClerkUnavailable):
        raise
    except ClerkError:
        # What Clerk does about a cursor whose user is gone is not documented: it may well refuse.
        if cursor is None or await _created_at(clerk, cursor.id) == cursor.created_at:
            raise
        walk.lose_cursor()
        return None
    if (
        cursor is not None
        and walk.is_doubtful(page.users)
        and await _created_at(clerk, cursor.id) != cursor.created_at
    ):
        walk.lose_cursor()
        return None
    return Page(walk.take(page.users), page.observed_at)


async def find_user(clerk: Clerk, user_id: str) -> Page:
    """Return a page of this user; an empty one if Clerk says twice that it has no such user."""
    try:
        snapshot = await clerk.get_user(user_id)
    except ClerkNotFound:
        await asyncio.sleep(_SECOND_404)
        try:
            snapshot = await clerk.get_user(user_id)
        except ClerkNotFound as error:
            return Page([], error.observed_at)
    return Page([snapshot.user], snapshot.observed_at)


async def _created_at(clerk: Clerk, user_id: str) -> float | None:
    """NaN if there is no such user: no time is equal to it."""
    page = await find_user(clerk, user_id)
    return created_at(page.users[0]) if page.users else float("nan")


async def _edge(clerk: Clerk, order: str) -> float | None:
    page = await clerk.list_users(limit=1, order_by=order)
    return created_at(page.users[0]) if page.users else None


async def _divide(clerk: Clerk, span: Span) -> tuple[Span, Span]:
    middle = (span.start + span.end) // 2
    count = await clerk.count_users(created_at_after=span.start - 1, created_at_before=middle)
    count = min(count, span.count)
    return Span(span.start, middle, count), Span(middle, span.end, span.count - count)
