"""clerk_convex/backfill/reading.py: reads each user once, with few calls and little memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import httpx
import pytest

from clerk_convex.backfill.ranges import Range
from clerk_convex.backfill.reading import find_user, plan, read, together
from clerk_convex.clerk.api import Clerk, Page
from clerk_convex.errors import ClerkError, ClerkMisconfigured, ClerkUnavailable
from tests.support.backfill_set import small_pages
from tests.support.backfill_wire import Answer, Request, Wire
from tests.support.virtual_time import now, run


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    small_pages(monkeypatch, 10)
    return Wire(monkeypatch)


def clerk_of(wire: Wire, **options: Any) -> Clerk:
    return Clerk(wire.clerk.secret_key, "https://clerk.test", **options)


def sign_up(wire: Wire, *times: int) -> list[str]:
    return [
        wire.clerk.create_user(username=f"user{n}", created_at=time)["id"] for n, time in enumerate(times)
    ]


def planned(wire: Wire, total: int, concurrency: int) -> list[Range]:
    return run(plan(clerk_of(wire), total, concurrency))


class Reading:
    """The pages that `read` gave, and the greatest number of users in memory."""

    def __init__(self, wire: Wire, ranges: list[Range], concurrency: int, seconds: float = 0.0) -> None:
        self.users: list[str] = []
        self.moves: list[tuple[int, Range]] = []
        self.in_handle = self.most_in_handle = 0

        async def handle(page: Page) -> None:
            assert page.users
            assert page.observed_at > 0
            self.in_handle += 1
            self.most_in_handle = max(self.most_in_handle, self.in_handle)
            await asyncio.sleep(seconds)
            self.users += [user["id"] for user in page.users]
            self.in_handle -= 1

        async def moved(number: int, part: Range) -> None:
            assert self.in_handle < concurrency
            self.moves.append((number, part))

        self._reading: Coroutine[Any, Any, None] = read(clerk_of(wire), ranges, handle, moved, concurrency)

    def run(self) -> None:
        run(self._reading)


# ---------------------------------------------------------------- plan


def test_few_users_are_one_range_without_a_call(wire: Wire) -> None:
    sign_up(wire, *range(10))
    assert planned(wire, 10, 8) == [Range()]
    assert wire.requests == []


def test_ranges_have_similar_numbers_of_users(wire: Wire) -> None:
    """There are two ranges for each that is read concurrently. They are found by counting, however uneven the
    sign-ups were."""
    sign_up(
        wire, *(10_000 * number for number in range(150)), *(5_000_000 * number for number in range(1, 11))
    )
    ranges = planned(wire, 160, 2)
    assert 4 <= len(ranges) <= 8
    assert (ranges[0].after, ranges[-1].before) == (None, None)
    for one, following in pairwise(ranges):
        assert one.before == following.after
    times = [user["created_at"] for user in wire.clerk.users()]
    counts = [
        sum((part.after or 0) <= time < (part.before or float("inf")) for time in times) for part in ranges
    ]
    assert sum(counts) == 160
    assert max(counts) <= 80


def test_the_split_of_one_millisecond_ends(wire: Wire) -> None:
    """Halving ends, with few calls, when no span can be halved."""
    sign_up(wire, *[1_700_000_000_000] * 100, 1_800_000_000_000)
    ranges = planned(wire, 101, 2)
    assert sum(len(part) for part in [ranges]) <= 3
    assert len(wire.asked("/users/count")) <= 2 * 16


def test_a_span_of_all_times_is_divided_sixteen_times_at_most(wire: Wire) -> None:
    sign_up(wire, *[0] * 100, 1_800_000_000_000)
    planned(wire, 101, 2)
    assert len(wire.asked("/users/count")) == 16


def test_no_users_are_one_range(wire: Wire) -> None:
    assert planned(wire, 1000, 2) == [Range()]


@pytest.mark.parametrize("order", ["+created_at", "-created_at"])
def test_users_deleted_while_the_edges_are_read_are_no_error(wire: Wire, order: str) -> None:
    sign_up(wire, *(1000 * number for number in range(100)))
    wire.answer = lambda request: (
        httpx.Response(200, json=[]) if request.args.get("order_by") == order else None
    )
    assert planned(wire, 100, 2) == [Range()]


def test_the_edges_are_the_oldest_and_the_newest(wire: Wire) -> None:
    """The oldest and the newest user are read with one call each, for one user."""
    sign_up(wire, *(1000 + number for number in range(100)))
    planned(wire, 100, 2)
    edges = [request.args for request in wire.asked("/users")]
    assert sorted(edge["order_by"] for edge in edges) == ["+created_at", "-created_at"]
    assert {edge["limit"] for edge in edges} == {"1"}


# ---------------------------------------------------------------- read


@pytest.mark.parametrize("concurrency", [1, 3])
def test_each_user_is_returned_once(wire: Wire, concurrency: int) -> None:
    ids = sign_up(wire, *(number // 7 for number in range(95)))
    ranges = [Range(None, 4.0), Range(4.0, 9.0), Range(9.0, None)]
    reading = Reading(wire, ranges, concurrency, 0.1)
    reading.run()
    assert sorted(reading.users) == sorted(ids)
    for number, part in enumerate(ranges):
        last = [moved for moving, moved in reading.moves if moving == number][-1]
        assert last.done
        assert (last.after, last.before) == (part.after, part.before)
        assert not any(
            moved.done for moving, moved in reading.moves[:-1] if moving == number and moved != last
        )


def test_ranges_that_are_done_are_not_read(wire: Wire) -> None:
    sign_up(wire, *range(20))
    reading = Reading(wire, [Range(None, 10.0, None, True), Range(10.0, None)], 2)
    reading.run()
    assert len(reading.users) == 10
    assert {number for number, _ in reading.moves} == {1}


def test_one_page_is_handled_while_the_next_is_read(wire: Wire) -> None:
    """No more than these two pages are in memory. The time is that of the slower part, not the sum."""
    sign_up(wire, *range(100))
    wire.latency = lambda request: 1.0
    reading = Reading(wire, [Range()], 1, 1.0)

    reading.run()
    assert reading.most_in_handle == 1
    asked = wire.requests
    assert asked[-1].at < 14
    assert max(request.at for request in asked) > 9


def test_no_more_ranges_are_read_concurrently_than_set(wire: Wire) -> None:
    sign_up(wire, *range(100))
    on_their_way = most = 0

    def latency(request: Request) -> float:
        nonlocal on_their_way, most
        on_their_way += 1
        most = max(most, on_their_way)
        return 1.0

    def answer(request: Request) -> Answer:
        nonlocal on_their_way
        on_their_way -= 1
        return None

    wire.latency, wire.answer = latency, answer
    reading = Reading(wire, [Range(float(n * 10), float(n * 10 + 10)) for n in range(10)], 3)
    reading.run()
    assert len(reading.users) == 100
    assert most == 3


def test_the_page_before_an_error_is_handled(wire: Wire) -> None:
    """It is written and counted before the error ends the run."""
    sign_up(wire, *range(50))
    wire.answer = lambda request: httpx.Response(401) if len(wire.requests) == 4 else None
    reading = Reading(wire, [Range()], 1, 5.0)
    with pytest.raises(ClerkMisconfigured):
        reading.run()
    assert len(reading.users) >= 27
    assert reading.moves[-1][1].position is not None


@pytest.mark.parametrize(("status", "error"), [(401, ClerkMisconfigured), (503, ClerkUnavailable)])
def test_an_outage_is_not_taken_for_a_lost_cursor(wire: Wire, status: int, error: type[ClerkError]) -> None:
    """After a rejected key or an outage, the user of the cursor is not asked for."""
    sign_up(wire, *[5] * 30)
    wire.answer = lambda request: httpx.Response(status) if "starting_after" in request.args else None
    with pytest.raises(error):
        run(read(clerk_of(wire, patience=0), [Range()], _nothing, _nowhere, 1))
    assert all(request.what == "/users" for request in wire.requests)


async def _nothing(page: Page) -> None:
    pass


async def _nowhere(number: int, part: Range) -> None:
    pass


def test_pages_are_as_large_as_clerk_allows_and_in_order(wire: Wire) -> None:
    sign_up(wire, *range(25))
    Reading(wire, [Range()], 1).run()
    assert {request.args["limit"] for request in wire.requests} == {"10"}
    assert {request.args["order_by"] for request in wire.requests} == {"+created_at"}


# ---------------------------------------------------------------- find_user, together


def test_an_existing_user_is_asked_for_once(wire: Wire) -> None:
    (user_id,) = sign_up(wire, 1)
    page = run(find_user(clerk_of(wire), user_id))
    assert [user["id"] for user in page.users] == [user_id]
    assert page.observed_at > 0
    assert len(wire.requests) == 1


def test_a_user_is_gone_after_two_404_a_second_apart(wire: Wire) -> None:
    page = run(find_user(clerk_of(wire), "user_gone"))
    assert page.users == []
    assert page.observed_at > 0
    assert [request.at for request in wire.requests] == pytest.approx([0, 1], abs=0.01)


def test_a_single_404_proves_nothing(wire: Wire) -> None:
    (user_id,) = sign_up(wire, 1)
    body = {"errors": [{"code": "resource_not_found"}]}
    wire.answer = lambda request: httpx.Response(404, json=body) if len(wire.requests) == 1 else None
    assert len(run(find_user(clerk_of(wire), user_id)).users) == 1


def test_the_first_error_ends_the_other_tasks() -> None:
    """It is raised as it is, without an exception group around it, however deep the tasks are nested."""
    ended: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(1)
        await together(_fail())

    async def _fail() -> None:
        raise ClerkError("first")

    async def wait() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> float:
        with pytest.raises(ClerkError, match="first") as caught:
            await together(wait(), fail(), wait())
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        return now()

    assert run(main()) < 2
    assert ended == ["cancelled", "cancelled"]


def test_a_bug_beside_an_error_is_not_hidden() -> None:
    async def fail(error: Exception) -> None:
        raise error

    with pytest.raises(ExceptionGroup) as caught:
        run(together(fail(ClerkError("first")), fail(ZeroDivisionError())))
    assert caught.value.subgroup(ZeroDivisionError) is not None
