"""clerk_convex/backfill/follow.py: what no webhook brought is in Convex within an interval.

No webhook is sent here.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

from clerk_convex.backfill import follow
from clerk_convex.backfill.follow import PATIENCE, Follower, Pass
from clerk_convex.backfill.position import Run
from clerk_convex.backfill.report import OnProgress, Pruning
from clerk_convex.backfill.session import Session
from clerk_convex.clerk import Page
from clerk_convex.errors import ClerkMisconfigured, ClerkUnavailable
from clerk_convex.local.clerk import Faults
from tests.support.backfill_set import BackfillSet
from tests.support.backfill_wire import NOON, Request, Wire
from tests.support.functions import ROOT, eventually, upsert
from tests.support.virtual_time import now, run

EVERY = 0.3  # seconds


class Notes(OnProgress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class Set:
    """A follower of a local set. `calls` are those of Clerk since the last pass."""

    def __init__(self, session: Session, follower: Follower, notes: Notes) -> None:
        self.session = session
        self.follower = follower
        self.notes = notes
        self.calls: list[str] = []
        attempt = session.clerk._attempt

        async def counted(request: Any, started: float) -> Any:
            self.calls.append(request.path)
            return await attempt(request, started)

        session.clerk._attempt = counted  # type: ignore[method-assign]

    async def turn(self) -> Pass:
        self.calls.clear()
        done = await self.follower.turn()
        assert done is not None
        return done

    async def pruned(self) -> Pruning | None:
        """Return the result of the prune of the next three passes, if any. They count twice or thrice."""
        return next((done.pruning for done in [await self.turn() for _ in range(3)] if done.pruning), None)


@asynccontextmanager
async def following(local: BackfillSet, **options: Any) -> AsyncIterator[Set]:
    notes = Notes()
    opened = Session.open(local.settings(), concurrency=2, dry_run=False, patience=2.0, on_progress=notes)
    async with opened as session:
        follower = Follower(session, every=EVERY, on_progress=notes, **options)
        try:
            yield Set(session, follower, notes)
        finally:
            await follower.release()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - it polls another process, too
            await asyncio.sleep(0.01)


def follows(local: BackfillSet, test: Callable[[Set], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with following(local) as it:
            await test(it)

    asyncio.run(run())


def delete(local: BackfillSet, user_id: str) -> None:
    """Delete a user at Clerk whose row is some seconds old. The tests leave out the pauses of a prune."""
    local.functions.mutation("test:age", {})
    local.clerk.delete_user(user_id)


def lease(local: BackfillSet) -> dict[str, Any]:
    (document,) = local.functions.query("test:dump", {"table": "clerkFollow"})
    return dict(document)


def take(local: BackfillSet, holder: str, ms: float, *, created: float = 0) -> Any:
    """Call for the lease as a follower of this name does."""
    arguments = {"holder": holder, "ms": ms, "pass": None, "created": created}
    return local.functions.mutation("users:leaseFollow", arguments)


def test_every_kind_of_change_is_found_by_the_next_pass(local: BackfillSet) -> None:
    """After the first pass, which reads all users."""
    ids = local.sign_up(30)

    async def test(it: Set) -> None:
        first = await it.turn()
        assert (first.whole, first.counts) == (True, {"created": 30})
        assert local.differences() == []
        local.clerk.update_user(ids[0], first_name="Ada")
        local.clerk.update_metadata(ids[1], public_metadata={"role": "admin"})
        local.clerk.ban(ids[2])
        local.clerk.lock(ids[3])
        local.clerk.deprovision(ids[4])
        local.clerk.create_user(username="new")
        done = await it.turn()
        assert not done.whole
        assert (done.counts["created"], done.counts["updated"]) == (1, 5)
        assert local.differences() == []

    follows(local, test)
    # As after a backfill: one entry for the users that a pass created.
    assert recorded(local) == [30, 1]


def test_sign_ins_are_found_wherever_clerk_puts_who_never_signed_in(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clerk does not document whether they come before or after all others."""
    users = local.sign_up(30)

    async def test(it: Set) -> None:
        list_users = it.session.clerk.list_users

        async def without_first(**question: Any) -> Any:
            if question["order_by"] == "-updated_at":  # a sign-in is no change of the user
                return Page([], (await list_users(**question)).observed_at)
            start, limit = question.pop("offset", None) or 0, question.pop("limit")
            page = await list_users(**question, limit=500)
            ordered = sorted(page.users, key=lambda user: user["last_sign_in_at"] is not None)
            return Page(ordered[start : start + limit], page.observed_at)

        await it.turn()
        monkeypatch.setattr(it.session.clerk, "list_users", without_first)
        local.clerk.sign_in(users[7])
        assert (await it.turn()).counts["updated"] == 1
        assert local.differences() == []

    follows(local, test)


def recorded(local: BackfillSet) -> list[int]:
    """Return the numbers of created users in the audit log."""
    return [entry["count"] for entry in local.table("clerkAudit") if "count" in entry]


def test_users_that_a_failing_pass_created_are_on_record(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the end of the next pass, which finds them unchanged, or by the release of the lease."""
    local.sign_up(2)

    async def test(it: Set) -> None:
        list_users = it.session.clerk.list_users

        async def failing(**question: Any) -> Any:
            if question["order_by"] == "-last_sign_in_at":
                raise ClerkUnavailable("down")
            return await list_users(**question)

        await it.turn()
        for number, succeeds in enumerate((True, False)):
            local.clerk.create_user(username=f"late{number}")
            monkeypatch.setattr(it.session.clerk, "list_users", failing)
            with pytest.raises(ClerkUnavailable):
                await it.turn()
            monkeypatch.setattr(it.session.clerk, "list_users", list_users)
            assert local.differences() == []
            assert recorded(local) == [2, 1][: number + 1]
            if succeeds:
                assert (await it.turn()).counts.get("created") is None
                assert recorded(local) == [2, 1]

    follows(local, test)
    assert recorded(local) == [2, 1, 1]


def test_users_that_a_follower_without_the_lease_created_are_on_record(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not move the watermark of the follower that has the lease by now."""
    local.sign_up(2)

    async def test(it: Set) -> None:
        list_users = it.session.clerk.list_users

        async def losing(**question: Any) -> Any:
            local.functions.mutation("test:expire", {})
            take(local, "other", 60_000)
            return await list_users(**question)

        monkeypatch.setattr(it.session.clerk, "list_users", losing)
        assert (await it.turn()).counts == {"created": 2}
        assert recorded(local) == [2]
        assert (lease(local)["holder"], lease(local).get("followed")) == ("other", None)
        assert await it.follower.turn() is None

    follows(local, test)
    assert recorded(local) == [2]


def test_each_created_user_is_on_record_once(local: BackfillSet) -> None:
    """Though a call is repeated: with the lease, without it, and at its release."""
    for _ in range(2):
        assert take(local, "first", 60_000, created=3)["held"]
        assert recorded(local) == [3]
    for _ in range(2):
        assert not take(local, "second", 60_000, created=2)["held"]
        assert recorded(local) == [3, 2]
    take(local, "first", 60_000, created=7)
    take(local, "first", 60_000, created=3)  # was overtaken
    assert recorded(local) == [3, 2, 4]
    take(local, "first", 0, created=7)
    for _ in range(2):
        take(local, "second", 0, created=3)
        assert recorded(local) == [3, 2, 4, 1]
    assert lease(local)["holder"] == "first"
    for number in range(10):
        take(local, f"late {number}", 0, created=1)
    assert lease(local)["recorded"] == [{"holder": f"late {number}", "created": 1} for number in range(10)]


def test_a_pass_without_changes_makes_few_calls(local: BackfillSet) -> None:
    """Two of Clerk, three in every other pass, for small pages; and it sends no user to Convex."""
    local.sign_up(5)

    async def test(it: Set) -> None:
        await it.turn()
        await it.turn()
        for calls in (3, 2, 3):
            done = await it.turn()
            assert done.is_empty
            assert done.counts == {}
            assert len(it.calls) == calls
            assert all("limit=20&" in call or call.startswith("/users/count") for call in it.calls)

    follows(local, test)


def test_a_sign_in_is_found_by_the_next_pass(local: BackfillSet) -> None:
    (user_id,) = local.sign_up(1)

    async def test(it: Set) -> None:
        await it.turn()
        for _ in range(2):
            local.clerk.sign_in(user_id)
            await it.turn()
            assert local.differences() == []

    follows(local, test)


def test_a_deletion_is_pruned_when_the_counts_differ_twice(local: BackfillSet) -> None:
    """By the third pass at the latest; the next pass after one that found a difference counts, too."""
    ids = local.sign_up(12)

    async def test(it: Set) -> None:
        await it.turn()
        delete(local, ids[0])
        delete(local, ids[1])
        assert (await it.turn()).pruning is None
        assert (await it.turn()).pruning is None
        pruning = (await it.turn()).pruning
        assert pruning is not None
        assert pruning.deleted == 2
        assert str(Pass({}, False, pruning)) == "nothing new; 2 of 12 rows pruned"
        assert local.differences() == []
        assert (await it.turn()).pruning is None

    follows(local, test)


def test_a_difference_that_a_prune_leaves_is_no_reason_for_another(local: BackfillSet) -> None:
    """The row that is there twice. A deletion after that is found as before."""
    ids = local.sign_up(3)

    async def test(it: Set) -> None:
        await it.turn()
        local.edit(ids[0], "copy")
        local.functions.mutation("users:rebuildStats", {})
        assert await it.pruned() is not None
        assert await it.pruned() is None
        delete(local, ids[1])
        it.follower._next_prune = 0.0
        pruned = await it.pruned()
        assert pruned is not None
        assert pruned.deleted == 1
        # The row is merged: less rows are normal from then on.
        local.functions.mutation("users:repairDuplicates", {"clerkIds": [ids[0]]})
        assert await it.pruned() is None
        assert lease(local)["followed"]["surplus"] == 0

    follows(local, test)


def test_sign_ups_on_their_way_are_no_reason_for_a_prune(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are when the rows are counted. A deletion among them is found once they are fewer.

    Webhooks take two seconds, and a call takes half a second.
    """
    wire = Wire(monkeypatch)
    monkeypatch.setattr(wire.clerk, "_now", lambda: int((NOON + now()) * 1000))
    wire.latency = lambda request: 0.5
    webhooks: set[asyncio.Task[None]] = set()

    async def webhook(clerk_id: str) -> None:
        await asyncio.sleep(2)
        if all(row["clerkId"] != clerk_id for row in wire.rows):
            wire.rows.append({"clerkId": clerk_id})

    async def sign_up(per_second: float, until: float) -> None:
        while now() < until:
            user = wire.clerk.create_user(username=f"user{len(webhooks)}")
            webhooks.add(asyncio.create_task(webhook(user["id"])))
            await asyncio.sleep(1 / per_second)

    async def main() -> None:
        opened = Session.open(wire.settings, concurrency=2, dry_run=False)
        async with opened as session:
            gone = wire.clerk.create_user(username="gone")
            passes: list[Pass] = []
            task = asyncio.create_task(Follower(session, every=20.0, on_pass=passes.append).run())
            await sign_up(2, until=100)
            await sign_up(0.7, until=250)
            wire.clerk.delete_user(gone["id"])
            await sign_up(2, until=350)
            assert wire.followed["surplus"] == 0
            assert not wire.asked("exportUsers")
            await sign_up(0.02, until=450)
            task.cancel()
            await asyncio.wait([task])
        assert [done.pruning.deleted for done in passes if done.pruning] == [1]
        assert wire.followed["surplus"] == 0

    run(main())


def test_a_prune_has_the_guard_of_the_backfill(local: BackfillSet) -> None:
    """More than 10 rows and 5 % are not removed."""
    local.sign_up(2)

    async def test(it: Set) -> None:
        await it.turn()
        local.functions.sync([upsert(f"user_ghost{number}") for number in range(11)])
        await it.turn()
        await it.turn()
        done = await it.turn()
        assert done.pruning is not None
        assert done.pruning.refused
        assert done.needs_a_person
        assert "11 are of users that Clerk does not have" in str(done)
        assert "backfill --prune --yes" in str(done)
        assert len(local.functions.rows()) == 13

    follows(local, test)


def test_a_prune_is_not_repeated_at_once(local: BackfillSet) -> None:
    """However often the counts differ, it takes a small part of the time."""
    ids = local.sign_up(4)

    async def test(it: Set) -> None:
        await it.turn()
        it.follower._next_prune = float("inf")
        delete(local, ids[0])
        assert [(await it.turn()).pruning for _ in range(3)] == [None] * 3
        it.follower._next_prune = 0.0
        assert (await it.turn()).pruning is not None
        assert it.follower._next_prune > asyncio.get_running_loop().time()

    follows(local, test)


def test_nothing_is_counted_while_the_totals_are_rebuilt(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.sign_up(1)

    async def test(it: Set) -> None:
        await it.turn()
        call = it.session.call

        async def rebuilding(kind: Any, function: str, arguments: Any) -> Any:
            answer = await call(kind, function, arguments)
            return {"total": 99.0, "rebuilding": True} if function == "countUsers" else answer

        monkeypatch.setattr(it.session, "call", rebuilding)
        await it.turn()
        await it.turn()
        assert lease(local)["followed"]["doubts"] == 0

    follows(local, test)


def test_many_changes_are_read_page_by_page(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_FIRST_PAGE", 4)
    monkeypatch.setattr(follow, "_PAGE", 10)
    monkeypatch.setattr(follow, "_LAP", 2)
    ids = local.sign_up(30)

    async def test(it: Set) -> None:
        await it.turn()
        it.follower._wrote.clear()
        for user_id in ids[:25]:
            local.clerk.update_user(user_id, first_name="Ada")
        done = await it.turn()
        assert (done.whole, done.counts["updated"]) == (False, 25)
        assert local.differences() == []
        # Too many for that: as a backfill reads them.
        monkeypatch.setattr(follow, "_MOST_CHANGED", 5)
        for user_id in ids[:25]:
            local.clerk.update_user(user_id, first_name="Grace")
        done = await it.turn()
        assert done.whole
        assert str(done).startswith("all users read: ")
        assert local.differences() == []

    follows(local, test)


def test_deletions_between_two_pages_hide_no_change(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They move the next page up. If it has nothing of the page before, all users are read."""
    monkeypatch.setattr(follow, "_FIRST_PAGE", 4)
    monkeypatch.setattr(follow, "_LAP", 1)
    ids = local.sign_up(20)

    async def test(it: Set) -> None:
        await it.turn()
        for user_id in ids[:12]:
            local.clerk.update_user(user_id, first_name="Ada")
        list_users = it.session.clerk.list_users

        async def deleting(**question: Any) -> Any:
            page = await list_users(**question)
            if question.get("limit") == 4:
                for user in page.users[:4]:
                    local.clerk.delete_user(user["id"])
            return page

        monkeypatch.setattr(it.session.clerk, "list_users", deleting)
        done = await it.turn()
        assert done.whole
        assert {row["firstName"] for row in local.functions.rows().values() if "firstName" in row} == {"Ada"}
        assert len([row for row in local.functions.rows().values() if row.get("firstName") == "Ada"]) >= 8

    follows(local, test)


def test_the_watermark_survives_a_restart(local: BackfillSet) -> None:
    """What changed while nobody followed is found by the first pass, without reading all users."""
    ids = local.sign_up(3)

    async def first(it: Set) -> None:
        await it.turn()

    async def second(it: Set) -> None:
        done = await it.turn()
        assert (done.whole, done.counts.get("updated")) == (False, 1)
        assert local.differences() == []

    async def none(it: Set) -> None:
        """A follower that never asked has nothing to release."""

    follows(local, first)
    follows(local, none)
    local.clerk.update_user(ids[0], first_name="Ada")
    follows(local, second)


def test_a_user_that_cannot_be_read_is_recorded_once(local: BackfillSet) -> None:
    """Though each pass reads the last minute again."""
    user_id = local.clerk.create_user(username="x" * 9)["id"]
    settings = {"clerk_convex_fields": lambda user: {"undeclared": 1}}

    async def run() -> None:
        opened = Session.open(local.settings(**settings), concurrency=2, dry_run=False, patience=2.0)
        async with opened as session:
            follower = Follower(session, every=EVERY)
            for _ in range(3):
                done = await follower.turn()
            assert done is not None
            assert done.is_empty
            await follower.release()

    asyncio.run(run())
    (refusal,) = local.table("clerkRefusals")
    assert (refusal["clerkId"], refusal["count"] <= 2) == (user_id, True)


def test_the_watermark_is_of_clerks_clock() -> None:
    """A wrong time of one user does not hide later changes of others."""
    users: list[Any] = [{"updated_at": 9e15}, {"updated_at": "yesterday"}, "no user"]
    assert follow._reached(Page(users, 5.0), "updated_at", 1.0) == 5.0
    assert follow._reached(Page(users[1:], 0.0), "updated_at", 1.0) == 1.0
    assert follow._reached(Page(users, 0.0), "updated_at", 1.0) == 9e15
    assert not follow._is_older(users[1], "updated_at", 5.0)
    assert follow._is_older({"last_sign_in_at": None}, "last_sign_in_at", 5.0)


def test_a_second_follower_says_so_and_waits(local: BackfillSet) -> None:
    """And it begins as soon as the first one ends in order."""
    local.sign_up(1)

    async def run() -> None:
        ages: list[float] = []
        async with following(local) as first:
            await first.turn()
            async with following(local, on_age=ages.append) as second:
                assert await second.follower.turn() is None
                assert await second.follower.turn() is None
                assert second.notes.texts == [
                    "Another follower holds the lease. This one waits to take over."
                ]
                assert 0 <= ages[-1] < 60
                second.follower._expires_in = 0.0
                loop = asyncio.create_task(second.follower.run())
                await until(lambda: second.follower._expires_in > 0.0)
                loop.cancel()
                await asyncio.wait([loop])
                await first.follower.release()
                assert (await second.turn()).is_empty
                # The first one sees that it has lost the lease.
                first.follower._leased_until = 0.0
                assert await first.follower.turn() is None

    asyncio.run(run())


def test_a_long_pass_renews_its_lease(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_GRACE", 0.3)

    async def test(it: Set) -> None:
        list_users = it.session.clerk.list_users
        asked, answered = asyncio.Event(), asyncio.Event()

        async def slow(**question: Any) -> Any:
            asked.set()
            await answered.wait()
            return await list_users(**question)

        monkeypatch.setattr(it.session.clerk, "list_users", slow)
        async with following(local) as other:
            turn = asyncio.create_task(it.follower.turn())
            await asked.wait()
            first = lease(local)["expiresAt"]
            monkeypatch.setattr(follow, "_GRACE", 300.0)  # for the renewal
            await until(lambda: lease(local)["expiresAt"] > first)
            assert await other.follower.turn() is None
            answered.set()
            assert await turn is not None

    follows(local, test)


def test_a_pass_that_fails_is_repeated_and_a_rejected_key_ends_it(local: BackfillSet) -> None:
    (user_id,) = local.sign_up(1)

    async def run() -> None:
        passes: list[Pass] = []
        async with following(local, on_pass=passes.append) as it:
            it.session.clerk.patience = 0.0
            task = asyncio.create_task(it.follower.run())
            local.clerk.faults = Faults(status=503)
            await until(lambda: bool(it.notes.texts))
            assert it.notes.texts[-1].startswith("A pass failed, and the next one repeats it: Clerk answered")
            local.clerk.faults = Faults()
            await until(lambda: bool(passes))
            assert local.functions.rows().keys() == {user_id}
            it.session.clerk._headers["Authorization"] = "Bearer sk_live_wrong"
            with pytest.raises(ClerkMisconfigured, match="CLERK_SECRET_KEY was rejected"):
                await task

    asyncio.run(run())


@pytest.mark.parametrize("outage", [False, True])
def test_a_pass_of_any_length_keeps_its_lease(monkeypatch: pytest.MonkeyPatch, outage: bool) -> None:
    """One follower works at a time, whenever in the time of the lease a pass begins, while Clerk is slow and
    while a call is repeated. A pass that takes no time renews nothing.
    """
    wire = Wire(monkeypatch)
    for number in range(3):
        wire.clerk.create_user(username=f"user{number}")

    def is_slow() -> bool:
        return 100 < now() < 1000

    def answer(request: Request) -> httpx.Response | None:
        is_down = outage and is_slow() and request.side == "Clerk" and now() % 60 < 28
        return httpx.Response(503) if is_down else None

    wire.answer = answer
    wire.latency = lambda request: 14.0 if is_slow() and request.side == "Clerk" else 0.1
    working: set[str] = set()
    turns: list[str] = []

    class Watched(Follower):
        async def _pass(self, run: Run) -> Any:
            assert not working
            working.add(self.holder)
            turns.append(self.holder)
            try:
                return await super()._pass(run)
            finally:
                working.discard(self.holder)

    async def follow(name: str) -> None:
        opened = Session.open(
            wire.settings, concurrency=2, dry_run=False, patience=PATIENCE, on_progress=Notes()
        )
        async with opened as session:
            follower = Watched(session, on_progress=Notes())
            follower.holder = name
            await follower.run()

    async def main() -> None:
        tasks = [asyncio.create_task(follow(name)) for name in ("first", "second")]
        done, _ = await asyncio.wait(tasks, timeout=1500)
        assert not done, done
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(main())
    assert len(turns) >= 15
    assert set(turns) == {"first"}
    renewals = [request for request in wire.asked("leaseFollow") if request.args["pass"] is None]
    assert any(100 < request.at < 1000 and request.args["holder"] == "first" for request in renewals)
    assert not any(1 < request.at < 100 and request.args["holder"] == "first" for request in renewals)


def test_a_follower_that_has_lost_the_lease_does_not_renew_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns of it once in the pass, which it completes, and once more at the end."""
    wire = Wire(monkeypatch)
    wire.clerk.create_user(username="ada")
    wire.latency = lambda request: 60.0 if request.what == "/users" else 0.0

    async def main() -> None:
        opened = Session.open(wire.settings, concurrency=2, dry_run=False, patience=100.0)
        async with opened as session:
            session.clerk.timeout = 100.0
            follower = Follower(session)
            turn = asyncio.create_task(follower.turn())
            await asyncio.sleep(1)
            wire.holder, wire.leased_until = "other", 1e6
            assert (await turn) is not None
            assert [round(request.at) for request in wire.asked("leaseFollow")[:2]] == [0, 65]
            assert len(wire.asked("leaseFollow")) == 3

    run(main())
    assert wire.followed is None


@contextmanager
def process(local: BackfillSet, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-m", "clerk_convex", "follow", "--every", "1", *arguments],
        cwd=ROOT,
        env=local.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def test_of_two_replicas_one_that_is_killed_is_replaced(local: BackfillSet) -> None:
    """With kill -9 when its lease expires, which is put forward here; with SIGTERM immediately."""
    (user_id,) = local.sign_up(1)
    with process(local) as first, process(local) as second:
        assert eventually(lambda: local.differences() == [] and local.table("clerkFollow") != [])
        holder = lease(local)["holder"]
        first.kill()
        second.kill()
    with process(local) as third:
        assert third.stderr is not None
        assert third.stderr.readline() == "Following Clerk every 1 s. Ctrl-C ends it.\n"
        assert third.stderr.readline().startswith("Another follower holds the lease.")
        local.clerk.update_user(user_id, first_name="Ada")
        local.functions.mutation("test:expire", {})
        assert third.stdout is not None
        assert "1 updated" in third.stdout.readline()
        assert local.differences() == []
        assert lease(local)["holder"] != holder
        third.send_signal(signal.SIGTERM)
        _, err = third.communicate(timeout=60)
        assert third.returncode == 130
        assert err.startswith("Interrupted. Another follower can take over at once")
    assert lease(local)["expiresAt"] <= time.time() * 1000
