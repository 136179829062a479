"""Reads all users of Clerk: several ranges concurrently, and the next page while the last one is written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from clerk_convex.backfill.ranges import PAGE, Part, Range, Span, Walk, created_at, to_ranges, to_split
from clerk_convex.clerk import Clerk, Page
from clerk_convex.errors import (
    ClerkConvexError,
    ClerkError,
    ClerkMisconfigured,
    ClerkNotFound,
    ClerkUnavailable,
)

__all__ = ["PartPage", "find_user", "plan", "read", "together"]


@dataclass(frozen=True, slots=True)
class PartPage(Page):
    """A page of users with the part of the table to which they belong."""

    part: Part


Handle = Callable[[PartPage], Awaitable[None]]
"""Processes the users of a page."""
Moved = Callable[[int, Range], Awaitable[None]]
"""Called when a range's users are processed up to a position: with the range's number and its new state."""

_RANGES_EACH = 2  # per worker, so that no worker is left alone with a long range
_SECOND_404 = 1.0  # seconds after the first one, which may come from a gateway
_MOST_DIVISIONS = 16  # of a span into halves; a span that is still too large has nearly one created_at


async def plan(clerk: Clerk, total: int, concurrency: int) -> list[Range]:
    """Return ranges of about the same number of users, found by counting. Sign-ups are not evenly spread."""
    ranges = concurrency * _RANGES_EACH
    if not to_split([Span(0, 2, total)], total, ranges):
        return [Range()]  # so few users are not worth a call
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


async def read(
    clerk: Clerk,
    ranges: Sequence[Range],
    handle: Handle,
    moved: Moved,
    concurrency: int,
    *,
    to_the_end: bool = False,
) -> None:
    """Pass every user to `handle`, page by page.

    With `to_the_end` it gets the last part of each range even if that page has no users.

    At most `concurrency` ranges are read concurrently. Two pages of each are in memory: one on its way from
    Clerk, one in `handle`. The first error ends the reading.
    """
    waiting = deque(enumerate(ranges))

    async def work() -> None:
        while waiting:
            number, part = waiting.popleft()
            await _read_range(clerk, number, part, handle, moved, to_the_end=to_the_end)

    await together(*(work() for _ in range(concurrency)))


async def together(*jobs: Awaitable[None]) -> None:
    """Run the jobs concurrently. The first error cancels the others, and is raised without a group."""

    async def run(job: Awaitable[None]) -> None:
        await job

    async def run_all() -> None:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(run(job))

    try:
        # In a task of its own: before Python 3.11.3, a group that fails leaves its task counted as cancelled,
        # and the next asyncio.timeout of that task raises CancelledError.
        await asyncio.create_task(run_all())
    except BaseExceptionGroup as errors:
        _, unexpected = errors.split(ClerkConvexError)
        if unexpected is not None:
            raise
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def _read_range(
    clerk: Clerk, number: int, part: Range, handle: Handle, moved: Moved, *, to_the_end: bool
) -> None:
    walk = Walk(part)
    rest = Part.of(part)

    async def process(page: PartPage, reached: Range) -> None:
        if page.users or (to_the_end and reached.done):
            await handle(page)
        await moved(number, reached)

    async with asyncio.TaskGroup() as group:
        processing = group.create_task(asyncio.sleep(0))  # nothing to wait for yet
        while not walk.is_done:
            try:
                page = await _ask(clerk, walk)
            except ClerkConvexError:
                await processing  # the page before is written and counted
                raise
            if page is None:
                continue
            reached = Range(part.after, part.before, walk.position, walk.is_done)
            here, rest = (rest, rest) if reached.done else rest.split(walk.position)
            await processing
            processing = group.create_task(process(PartPage(page.users, page.observed_at, here), reached))


async def _ask(clerk: Clerk, walk: Walk) -> Page | None:
    """Return the next users of the range; None if the cursor was lost, so that it must ask again."""
    cursor = walk.cursor
    try:
        page = await clerk.list_users(limit=PAGE, order_by="+created_at", **walk.question)
    except (ClerkMisconfigured, ClerkUnavailable):
        raise
    except ClerkError:
        # Clerk does not document what it answers to a cursor whose user is deleted. It may refuse.
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
    """Return the user's created_at; NaN, which no time equals, if there is no such user."""
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
