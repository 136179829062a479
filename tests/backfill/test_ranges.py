"""clerk_convex/backfill/ranges.py: no user is missed, whatever changes between two pages."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clerk_convex.backfill.ranges import Part, Position, Range, Span, Walk, created_at, to_ranges, to_split
from clerk_convex.entities.times import milliseconds
from clerk_convex.errors import ClerkError

User = dict[str, Any]


class PagedClerk:
    """Lists users as Clerk does. `data` chooses the behaviour that Clerk does not document."""

    def __init__(self, users: Sequence[User], *, cap: int, inclusive: bool, lost: str) -> None:
        self.users = {user["id"]: user for user in users}
        self.cap = cap
        self.inclusive = inclusive
        self.lost = lost  # the answer to a cursor of a deleted user

    def page(self, walk: Walk) -> list[User]:
        question = walk.question
        after, before = question["created_at_after"], question["created_at_before"]
        margin = 1 if self.inclusive else 0
        found = sorted(self.users.values(), key=_order)
        if after is not None:
            found = [user for user in found if user["created_at"] > after - margin]
        if before is not None:
            found = [user for user in found if user["created_at"] < before + margin]
        cursor = question["starting_after"]
        if cursor is not None and cursor in self.users:
            found = [user for user in found if _order(user) > _order(self.users[cursor])]
        elif cursor is not None and self.lost == "is empty":
            found = []
        return found[: self.cap]


def _order(user: User) -> tuple[int, str]:
    return user["created_at"], user["id"]


def people(times: Sequence[int]) -> list[User]:
    return [{"id": f"user_{number:03}", "created_at": time} for number, time in enumerate(times)]


TIMES = st.lists(st.integers(100, 112), max_size=40)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_each_remaining_user_is_read_by_one_range(data: st.DataObject) -> None:
    """Between two pages users are created, deleted and moved in time, cursors lose their users, and ranges
    are resumed. Each user who exists all the time is returned by exactly one range."""
    users = people(data.draw(TIMES))
    clerk = PagedClerk(
        users,
        cap=data.draw(st.integers(1, 5)),
        inclusive=data.draw(st.booleans()),
        lost=data.draw(st.sampled_from(["is empty", "begins again"])),
    )
    bound = data.draw(st.none() | st.integers(99, 113).map(float))
    ranges = [Range()] if bound is None else [Range(None, bound), Range(bound, None)]
    touched: set[str] = set()
    read: list[set[str]] = []
    for part in ranges:
        given_out: set[str] = set()
        walk = Walk(part)
        for _ in range(1000):
            if walk.is_done:
                break
            _disturb(data, clerk, touched)
            page = clerk.page(walk)
            cursor = walk.cursor
            if cursor is not None and walk.is_doubtful(page):
                user = clerk.users.get(cursor.id)
                if user is None or user["created_at"] != cursor.created_at:
                    walk.lose_cursor()
                    continue
            given_out |= {user["id"] for user in walk.take(page)}
            if data.draw(st.integers(0, 9)) == 0:  # killed and started again
                walk = Walk(Range(part.after, part.before, walk.position, walk.is_done))
        else:
            raise AssertionError("no end")
        read.append(given_out)
    stayed = {user["id"] for user in users} - touched
    assert stayed <= set().union(*read)
    assert not stayed & read[0] & (read[1] if len(read) > 1 else set())


def _disturb(data: st.DataObject, clerk: PagedClerk, touched: set[str]) -> None:
    kind = data.draw(st.sampled_from(["nothing"] * 6 + ["delete", "move", "create"]))
    if kind == "create":
        number = len(touched) + len(clerk.users)
        clerk.users[f"user_new_{number}"] = {
            "id": f"user_new_{number}",
            "created_at": data.draw(st.integers(100, 112)),
        }
        touched.add(f"user_new_{number}")
    elif kind != "nothing" and clerk.users:
        user_id = data.draw(st.sampled_from(sorted(clerk.users)))
        touched.add(user_id)
        user = clerk.users.pop(user_id)
        if kind == "move":
            clerk.users[user_id] = {**user, "created_at": data.draw(st.integers(100, 112))}


def read_all(walk: Walk, clerk: PagedClerk) -> tuple[list[str], int]:
    """Return the ids in the order of reading, and the number of pages."""
    ids: list[str] = []
    pages = 0
    while not walk.is_done:
        pages += 1
        ids += [user["id"] for user in walk.take(clerk.page(walk))]
    return ids, pages


def test_each_user_is_returned_once_with_few_pages() -> None:
    """Neighbouring pages share the users of one millisecond, who are dropped from the second. The end costs
    one page more."""
    users = people(range(1000, 1100))
    ids, pages = read_all(Walk(Range()), PagedClerk(users, cap=10, inclusive=False, lost=""))
    assert ids == [user["id"] for user in users]
    assert pages == 12  # nine new ones on each but the first


def test_the_same_created_at_needs_the_cursor() -> None:
    """Users who were imported in one millisecond are read by Clerk's cursor, each once."""
    users = people([1000, *[1001] * 50, 1002])
    walk = Walk(Range())
    ids, _ = read_all(walk, PagedClerk(users, cap=10, inclusive=True, lost=""))
    assert ids == [user["id"] for user in users]


def test_a_position_within_one_millisecond_is_resumed() -> None:
    """A resumed run does not read all users of that millisecond again."""
    users = people([1001] * 50)
    clerk = PagedClerk(users, cap=10, inclusive=False, lost="")
    walk = Walk(Range())
    while walk.position is None or walk.position.id < "user_029":
        walk.take(clerk.page(walk))
    resumed = Walk(Range(position=walk.position))
    assert read_all(resumed, clerk)[0] == [f"user_{number:03}" for number in range(30, 50)]


def test_a_position_without_an_id_is_resumed_from_its_time() -> None:
    walk = Walk(Range(position=Position(1001.0, "")))
    clerk = PagedClerk(people([1000, 1001, 1002]), cap=10, inclusive=False, lost="")
    assert read_all(walk, clerk)[0] == ["user_001", "user_002"]


def take_thrice(walk: Walk, page: list[Any]) -> None:
    for _ in range(3):
        walk.take(page)


def test_users_beyond_the_end_end_a_range() -> None:
    """A range asks for users a little beyond its end, and stops at the first of them."""
    walk = Walk(Range(1000.0, 1002.0))
    assert walk.question == {
        "created_at_after": 999.0,
        "created_at_before": 1003.0,
        "starting_after": None,
    }
    page = people([999, 1000, 1001, 1002])
    assert [user["created_at"] for user in walk.take(page)] == [1000, 1001]
    assert walk.is_done


def test_unreadable_users_are_returned_once() -> None:
    """Users without an id, without a time, or that are no objects are reported, and do not stop the walk."""
    walk = Walk(Range())
    strange: list[Any] = [{"created_at": 5}, {"id": "user_1"}, 17, {"id": "user_2", "created_at": 6}]
    assert walk.take(strange) == strange
    assert walk.position == Position(6.0, "user_2")
    assert walk.take([{"id": "user_2", "created_at": 6}]) == []
    assert walk.is_done


def test_a_last_user_without_an_id_is_no_cursor() -> None:
    walk = Walk(Range())
    assert len(walk.take([{"id": "user_1", "created_at": 5}, {"created_at": 6}])) == 2
    assert walk.cursor is None
    assert walk.position == Position(6.0, "")
    assert walk.take([{"created_at": 6}]) == []
    assert walk.is_done


def test_users_without_any_time_are_walked_by_the_cursor() -> None:
    walk = Walk(Range())
    assert len(walk.take([{"id": "user_1"}, {"id": "user_2"}])) == 2
    assert walk.cursor == Position(None, "user_2")
    assert walk.position is None
    assert walk.take([]) == []
    assert walk.is_done


@pytest.mark.parametrize(
    "page",
    [
        people([2, 1]),
        [{"created_at": 1}, {"created_at": 1}],
        ["user_1"],
    ],
)
def test_a_page_without_a_next_position_is_an_error(page: list[Any]) -> None:
    """If the order is wrong or ids are missing, an error is better than missed users or an endless walk."""
    walk = Walk(Range(position=Position(1.0, "user_0")))
    with pytest.raises(ClerkError, match="in another order"):
        take_thrice(walk, page)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_700_000_000_000, 1_700_000_000_000.0),
        (Decimal("1.5"), 1.5),
        (True, None),
        ("1", None),
        (None, None),
        (float("inf"), None),
        (10**400, None),
    ],
)
def test_created_at(value: object, expected: float | None) -> None:
    """The number is used as Clerk orders by it: seconds are not converted to milliseconds."""
    assert created_at({"created_at": value}) == expected
    assert created_at([]) is None


# ---------------------------------------------------------------- the plan


def test_spans_with_more_than_one_share_are_split() -> None:
    """A span that is too small for a range of its own, or one millisecond long, is not split."""
    spans = [Span(0, 100, 50_000), Span(100, 200, 10_000), Span(200, 201, 40_000)]
    assert to_split(spans, 100_000, 8) == [Span(0, 100, 50_000)]
    assert to_split([Span(0, 100, 4000)], 4000, 16) == []


def test_ranges_leave_no_gap_and_are_open_at_both_ends() -> None:
    """Users who were created before the first or after the last counted user belong to a range too."""
    spans = [Span(0, 10, 4000), Span(10, 20, 0), Span(20, 30, 5000), Span(30, 40, 100)]
    assert to_ranges(spans, 9100, 2) == [Range(None, 20.0), Range(20.0, 30.0), Range(30.0, None)]
    assert to_ranges([Span(0, 10, 3)], 3, 16) == [Range()]


@given(st.lists(st.integers(0, 10_000), max_size=30), st.integers(1, 32))
def test_ranges_cover_all_times(counts: list[int], ranges: int) -> None:
    spans = [Span(number, number + 1, count) for number, count in enumerate(counts)]
    found = to_ranges(spans, sum(counts), ranges)
    assert found[0].after is None
    assert found[-1].before is None
    assert [part.before for part in found[:-1]] == [part.after for part in found[1:]]


# ---------------------------------------------------------------- the rows of a page

MOMENTS = st.one_of(st.none(), st.integers(0, 60), st.integers(10**11, 10**11 + 60))


@given(ranges=st.lists(MOMENTS, max_size=3), pages=st.lists(MOMENTS, max_size=5), row=MOMENTS.filter(bool))
def test_the_parts_of_all_pages_cover_the_whole_table(
    ranges: list[int | None], pages: list[int | None], row: int
) -> None:
    """Every row is in the part of a page, whatever times Clerk's users have; some of them may be seconds."""
    bounds = [None, *sorted(bound for bound in ranges if bound is not None), None]
    parts: list[Part] = []
    for after, before in pairwise(bounds):
        rest = Part.of(Range(after, before))
        for page in pages:
            here, rest = rest.split(None if page is None else Position(page, "user_1"))
            parts.append(here)
        parts.append(rest)
    at = milliseconds(row)
    assert at is not None
    assert any(
        (it.after is None or at > it.after) and (it.up_to is None or at <= it.up_to) for it in parts
    ), parts


def test_a_part_ends_where_its_page_ends() -> None:
    """A range begins with its first millisecond and ends before the first one of the next."""
    whole = Part.of(Range(2e12, 3e12))
    first, rest = whole.split(Position(2.5e12, "user_1"))
    assert first.after is not None
    assert first.after < 2e12 < first.after + 1
    assert (first.up_to, rest.after) == (2.5e12, 2.5e12)
    assert rest.up_to is not None
    assert rest.up_to < 3e12 < rest.up_to + 1
    assert rest.split(Position(1e12, "user_1"))[0] == Part(2.5e12, 2.5e12)  # out of order: nothing is there
