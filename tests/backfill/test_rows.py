"""clerk_convex/backfill/rows.py: finds the users who are gone from Clerk, and the time since when."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clerk_convex.backfill.rows import confirm, find_absent
from clerk_convex.backfill.session import Session
from clerk_convex.entities.changes import Delete
from clerk_convex.errors import ClerkMisconfigured
from tests.support.backfill_wire import NOON, Answer, Request, Wire
from tests.support.virtual_time import now, run


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def confirmed(
    wire: Wire, *clerk_ids: str, concurrency: int = 4, start: float = 0.0
) -> tuple[list[Delete], float]:
    """Return the deletions, and the seconds that the confirmation took."""

    async def main() -> tuple[list[Delete], float]:
        await asyncio.sleep(start)
        async with Session.open(wire.settings, concurrency=concurrency, dry_run=True) as session:
            return await confirm(session, clerk_ids), now() - start

    return run(main())


# ---------------------------------------------------------------- confirm


@hypothesis_settings(max_examples=60, deadline=None, database=None)
@given(
    start=st.floats(0, 3),
    delays=st.lists(st.floats(0, 6), min_size=8, max_size=8),
    skews=st.lists(st.floats(-0.5, 0.5), min_size=8, max_size=8),
)
def test_the_stamp_is_later_than_the_users_last_event(
    start: float, delays: list[float], skews: list[float]
) -> None:
    """This holds at every part of a second, for slow answers, and if Clerk's clocks differ by up to a second:
    the user's last event, at the latest when Clerk first answered 404, loses against the tombstone. The stamp
    is no later than Clerk's last answer, so the row of a later sign-up stays."""
    with pytest.MonkeyPatch.context() as patch:
        wire = Wire(patch)
        looks: list[float] = []

        def latency(request: Request) -> float:
            return delays[len(wire.requests) % 8]

        def answer(request: Request) -> Answer:
            looks.append(now())  # the user may have been there until now
            return None

        wire.latency, wire.answer = latency, answer
        wire.skew = lambda: skews[len(looks) % 8]
        (deletion,), _ = confirmed(wire, "user_gone", start=start)
    assert deletion.observed_at > (NOON + looks[0] + 0.5) * 1000
    assert deletion.observed_at < (NOON + looks[-1]) * 1000
    assert (deletion.clerk_id, deletion.source) == ("user_gone", "backfill")


def test_a_quick_clerk_is_asked_twice_five_seconds_apart(wire: Wire) -> None:
    deletions, seconds = confirmed(wire, "user_a", "user_b")
    assert {deletion.clerk_id for deletion in deletions} == {"user_a", "user_b"}
    assert seconds == pytest.approx(5, abs=0.1)
    assert len(wire.requests) == 4


def test_one_404_proves_nothing(wire: Wire) -> None:
    """A user whom Clerk finds at one of the two looks is not gone."""
    user_id = wire.clerk.create_user()["id"]
    for unlucky in (0, 1):

        def answer(request: Request, unlucky: int = unlucky) -> Answer:
            body = {"errors": [{"code": "resource_not_found"}]}
            return httpx.Response(404, json=body) if len(wire.requests) == unlucky + 1 else None

        wire.requests, wire.answer = [], answer
        assert confirmed(wire, user_id)[0] == []
        assert len(wire.requests) == 2 - unlucky


def test_an_existing_user_is_asked_for_once(wire: Wire) -> None:
    ids = [wire.clerk.create_user()["id"] for _ in range(3)]
    deletions, _ = confirmed(wire, *ids, "user_gone")
    assert [deletion.clerk_id for deletion in deletions] == ["user_gone"]
    assert len(wire.requests) == 5


def test_a_slow_clerk_is_waited_for(wire: Wire) -> None:
    """The second look begins after the first has ended, however long it takes."""
    wire.latency = lambda request: 20.0
    assert len(confirmed(wire, "user_gone")[0]) == 1


@pytest.mark.parametrize("lost", ["date", "time"])
def test_answers_without_a_date_prune_nothing(wire: Wire, lost: str) -> None:
    """Without a stamp that can be trusted the row stays."""
    wire.skew = (lambda: None) if lost == "date" else (lambda: -now())
    assert confirmed(wire, "user_gone")[0] == []
    assert len(wire.requests) == 2


def test_no_ids_make_no_call(wire: Wire) -> None:
    deletions, seconds = confirmed(wire)
    assert deletions == []
    assert seconds < 0.01


def test_users_are_asked_for_concurrently_as_pages_are(wire: Wire) -> None:
    most = 0
    on_their_way = 0

    def answer(request: Request) -> Answer:
        nonlocal on_their_way
        on_their_way -= 1
        return None

    def latency(request: Request) -> float:
        nonlocal most, on_their_way
        on_their_way += 1
        most = max(most, on_their_way)
        return 0.1

    wire.answer, wire.latency = answer, latency
    assert len(confirmed(wire, *(f"user_{number}" for number in range(20)), concurrency=3)[0]) == 20
    assert most == 3


# ---------------------------------------------------------------- find_absent


def absent(wire: Wire, *, concurrency: int = 2) -> tuple[list[str], list[int]]:
    found: list[str] = []
    counts: list[int] = []
    unlinked: list[str] = []

    async def note(clerk_id: str) -> None:
        found.append(clerk_id)

    async def main() -> None:
        async with Session.open(wire.settings, concurrency=concurrency, dry_run=True) as session:
            await find_absent(session, note, counts.append, unlinked.append)

    run(main())
    assert unlinked == [row["_id"] for row in wire.rows if not isinstance(row["clerkId"], str)]
    return found, counts


def test_rows_without_a_clerk_id_are_not_looked_for(wire: Wire) -> None:
    """There was no user whom Clerk could have deleted. They are passed on by Convex's id."""
    wire.rows = [{"_id": f"row{clerk_id}", "clerkId": clerk_id} for clerk_id in ("user_ghost", None, 7)]
    assert absent(wire) == (["user_ghost"], [1])


def test_all_rows_are_looked_for_a_hundred_at_a_time(wire: Wire) -> None:
    """A user whom Clerk lists is not absent. Rows are counted while they are checked, the last one too."""
    ids = [wire.clerk.create_user()["id"] for _ in range(130)]
    ghosts = [f"user_ghost{number}" for number in range(440)]
    wire.rows = [{"clerkId": clerk_id} for clerk_id in [*ids, *ghosts]]
    found, counts = absent(wire)
    assert sorted(found) == sorted(ghosts)
    assert counts == sorted(counts)
    assert counts[-1] == 570
    assert len(wire.asked("/users")) == 6  # 500 rows a page of Convex's, and the rest
    assert len(wire.asked("exportUsers")) == 2


def test_rows_are_not_read_far_ahead(wire: Wire) -> None:
    """While Clerk is slow, only the rows that are being checked are in memory."""
    wire.rows = [{"clerkId": f"user_{number}"} for number in range(10_000)]
    wire.latency = lambda request: 10.0 if request.side == "Clerk" else 0.0
    absent(wire)
    assert sum(request.at < 10 for request in wire.asked("exportUsers")) == 1
    assert len(wire.asked("exportUsers")) == 20


def test_an_empty_table_has_no_absent_users(wire: Wire) -> None:
    assert absent(wire) == ([], [])


def test_an_error_in_one_part_ends_the_search(wire: Wire) -> None:
    """Also while other parts wait for a place in the queue."""
    wire.rows = [{"clerkId": f"user_{number}"} for number in range(2000)]
    wire.answer = lambda request: httpx.Response(401) if request.side == "Clerk" else None
    with pytest.raises(ClerkMisconfigured, match="CLERK_SECRET_KEY"):
        absent(wire, concurrency=1)
