"""Pure: decides which users to ask Clerk for next, so that none is missed while they are created or deleted.

Users are read in the order of `created_at`, in several ranges concurrently. The next page begins at the last
`created_at` of the page before, inclusive, and users that were on that page are dropped. So no page depends
on a user that may have been deleted. Only if all users of a page were created in the same millisecond,
Clerk's cursor (`starting_after`) is used. `Walk.is_doubtful` then tells when its user must be checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, nextafter
from typing import Any, Self, TypedDict

from clerk_convex.entities import number
from clerk_convex.entities.times import LAST_MILLISECOND, milliseconds
from clerk_convex.errors import ClerkError

__all__ = [
    "PAGE",
    "Part",
    "Position",
    "Question",
    "Range",
    "Span",
    "Walk",
    "created_at",
    "to_ranges",
    "to_split",
]

PAGE = 500  # users; the most that Clerk gives in one call

_FEWEST_PAGES = 8  # of a range; each range costs some extra calls at its beginning and end
_DISORDER = (
    "Clerk gave users in another order than the one asked for, or without ids, so they cannot be read page "
    "by page. Is CLERK_API_URL the address of Clerk?"
)


@dataclass(frozen=True, slots=True)
class Position:
    """The last user that was read and written. Without an id, users created at that time are read again.

    `created_at` is Clerk's number, unconverted, as all times in this module.
    """

    created_at: float | None
    id: str


@dataclass(frozen=True, slots=True)
class Range:
    """The users created at or after `after` and before `before`. A bound that is None is open."""

    after: float | None = None
    before: float | None = None
    position: Position | None = None
    done: bool = False


class Question(TypedDict, total=False):
    """The arguments of Clerk.list_users, besides the order and the limit."""

    created_at_after: float | None
    created_at_before: float | None
    starting_after: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """The rows that a page belongs to, by their createdAt: later than `after`, not later than `up_to`.

    A bound that is None is open. The parts of all pages of a run cover the whole table.
    """

    after: float | None
    up_to: float | None

    @classmethod
    def of(cls, range: Range) -> Self:  # noqa: A002 - the name fits best
        """Return the part of a whole range."""
        return cls(_just_before(range.after), _just_before(range.before))

    def split(self, position: Position | None) -> tuple[Self, Self]:
        """Return the part up to a position, and the rest."""
        reached = None if position is None else milliseconds(position.created_at)
        if reached is None or (self.after is not None and reached < self.after):
            reached = self.after
        if reached is None:  # nothing is reached, so there is nothing before it
            reached = -LAST_MILLISECOND
        return type(self)(self.after, reached), type(self)(reached, self.up_to)


class Walk:
    """Reads one range: ask Clerk `question`, pass the page to `take`, and repeat until `is_done`.

    If `is_doubtful(page)`, first check that the cursor's user still exists and was created at the cursor's
    time. If not, call `lose_cursor` and ask again.
    """

    def __init__(self, range: Range) -> None:  # noqa: A002 - the name fits best
        self.range = range
        self.position = range.position
        self.cursor = range.position if range.position is not None and range.position.id else None
        self.is_done = range.done
        self._reached = None if range.position is None else range.position.created_at
        self._seen: frozenset[str | None] = frozenset()  # ids of users created at `_reached` that were taken
        if self.cursor is not None:
            self._seen = frozenset({self.cursor.id})
        self._largest = 0  # users on a page, so far

    @property
    def question(self) -> Question:
        """The arguments of the next call. Each bound is 1 ms wider: Clerk's may be inclusive or exclusive."""
        bounds = [bound for bound in (self.range.after, self._reached) if bound is not None]
        return {
            "created_at_after": max(bounds) - 1 if bounds else None,
            "created_at_before": None if self.range.before is None else self.range.before + 1,
            "starting_after": None if self.cursor is None else self.cursor.id,
        }

    def is_doubtful(self, page: Sequence[Any]) -> bool:
        """Return whether the cursor's user may be deleted, so that the page may have begun elsewhere."""
        return self.cursor is not None and not (page and created_at(page[0]) == self.cursor.created_at)

    def lose_cursor(self) -> None:
        """Read all users again that were created at the cursor's time."""
        self.cursor = None
        self._seen = frozenset()

    def take(self, page: Sequence[Any]) -> list[Any]:
        """Return the users of the page that are in this range and were not taken before.

        Raises ClerkError if the page is not in the order that was asked for.
        """
        times = [time for user in page if (time := created_at(user)) is not None]
        if any(later < earlier for earlier, later in pairwise(times)):
            raise ClerkError(_DISORDER)
        new = [user for user in page if self._is_new(user)]
        if not page or (not new and len(page) < self._largest):
            self.is_done = True
            return []
        self._largest = max(self._largest, len(page))

        last = max(times[-1:], default=self._reached)
        if last is not None and (self._reached is None or last > self._reached):
            self._reached = last
            self.cursor = None
            self.position = Position(last, _last_id(page, last) or "")
        else:
            # The whole page has the time reached before, so only the cursor leads further.
            last_id = _last_id(page, last)
            if last_id is None:
                raise ClerkError(_DISORDER)
            self.cursor = Position(last, last_id)
            if last is not None and last == self._reached:
                self.position = self.cursor
        if new:
            self._seen = frozenset(_id(user) for user in page if created_at(user) in (self._reached, None))
        self.is_done = self.range.before is not None and last is not None and last >= self.range.before
        return [user for user in new if self._is_ours(user)]

    def _is_new(self, user: Any) -> bool:
        time = created_at(user)
        if time is None or self._reached is None or time == self._reached:
            return _id(user) not in self._seen
        return time > self._reached

    def _is_ours(self, user: Any) -> bool:
        time = created_at(user)
        if time is None:  # it belongs to no range, and is reported as not readable
            return True
        after, before = self.range.after, self.range.before
        return (after is None or time >= after) and (before is None or time < before)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """About `count` users were created from `start` on, inclusive, and before `end`."""

    start: int
    end: int
    count: int


def to_split(spans: Sequence[Span], total: int, ranges: int) -> list[Span]:
    """Return the spans that hold more than one range's share of `total`, and can be divided."""
    share = _share(total, ranges)
    return [span for span in spans if span.count > share and span.end - span.start > 1]


def to_ranges(spans: Sequence[Span], total: int, ranges: int) -> list[Range]:
    """Join neighbouring spans up to one share each. The first and the last range are open."""
    share = _share(total, ranges)
    bounds: list[float] = []
    count = 0
    for span in spans:
        if count and count + span.count > share:
            bounds.append(float(span.start))
            count = 0
        count += span.count
    return [Range(after, before) for after, before in zip([None, *bounds], [*bounds, None], strict=True)]


def created_at(user: Any) -> float | None:
    """Return the number by which Clerk orders the user, or None if it cannot be read.

    It is not converted as `milliseconds` would: the next page is asked for with the very same number.
    """
    return number(user.get("created_at")) if isinstance(user, dict) else None


def _just_before(time: float | None) -> float | None:
    reached = milliseconds(time)
    return None if reached is None else nextafter(reached, -inf)


def _id(user: Any) -> str | None:
    value = user.get("id") if isinstance(user, dict) else None
    return value if isinstance(value, str) and value else None


def _last_id(page: Sequence[Any], time: float | None) -> str | None:
    """Return the id of the last user on the page that was created at `time`."""
    ids = [_id(user) for user in page if created_at(user) == time]
    return next((user_id for user_id in reversed(ids) if user_id is not None), None)


def _share(total: int, ranges: int) -> float:
    return max(total / ranges, _FEWEST_PAGES * PAGE)
