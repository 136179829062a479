"""clerk_convex/backfill/session.py: which errors a run waits out, which end it, and what it closes at its
end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from clerk_convex.backfill import Report, backfill, repair_duplicates, verify
from clerk_convex.backfill.session import Session
from clerk_convex.clerk.api import Clerk
from clerk_convex.convex import INDEXED_BYTES
from clerk_convex.entities.changes import Upsert
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    ClerkMisconfigured,
    ClerkUnavailable,
    DeploymentMisconfigured,
    DeploymentUnavailable,
    SettingsError,
)
from clerk_convex.settings import Settings
from tests.support.backfill_set import Then, small_pages
from tests.support.backfill_wire import Answer, Request, Wire, failure
from tests.support.virtual_time import now, run

CLERKS_OWN = {"errors": [{"code": "internal_clerk_error", "message": "no"}]}

# Answers of a gateway, of a proxy, or of Clerk and Convex themselves during short trouble.
STRAYS: dict[str, Callable[[], httpx.Response | Exception]] = {
    "302": lambda: httpx.Response(302, headers={"location": "https://login.test"}),
    "400": lambda: httpx.Response(400, json=CLERKS_OWN),
    "401": lambda: httpx.Response(401, json=CLERKS_OWN),
    "403": lambda: httpx.Response(403, json={"code": "Forbidden", "message": "no"}),
    "404": lambda: httpx.Response(404, content=b"<html>"),
    "404, as Clerk's": lambda: httpx.Response(404, json={"errors": [{"code": "resource_not_found"}]}),
    "422": lambda: httpx.Response(422, json=CLERKS_OWN),
    "429": lambda: httpx.Response(429),
    "503": lambda: httpx.Response(503),
    "garbage": lambda: httpx.Response(200, content=b"<html>"),
    "refused connection": lambda: httpx.ConnectError("no"),
    "broken connection": lambda: httpx.ReadError("no"),
}
ENDS: dict[str, Callable[[Wire], Coroutine[Any, Any, Any]]] = {
    "backfill": lambda wire: backfill(wire.settings, prune=True, concurrency=2),
    "verify": lambda wire: verify(wire.settings, concurrency=2),
    "dry run": lambda wire: backfill(wire.settings, dry_run=True, prune=True, concurrency=2),
    "repair": lambda wire: repair_duplicates(wire.settings),
}


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Five users: two have rows, and one of these has two rows. Two more rows are of users who are gone."""
    small_pages(monkeypatch, 2)
    wire = Wire(monkeypatch)
    times = (1, 1, 1, 2, 3)  # three come in the same millisecond: only a cursor leads from one to the next
    ids = [
        wire.clerk.create_user(username=f"user{number}", created_at=time)["id"]
        for number, time in enumerate(times)
    ]
    ghosts = [{"clerkId": "user_ghost1"}, {"clerkId": "user_ghost2"}]
    wire.rows = [{"clerkId": ids[0]}, {"clerkId": ids[1]}, *ghosts, {"clerkId": ids[1]}]
    return wire


def told(result: Any) -> dict[str, Any]:
    """Return the report of a run without its duration, and with concurrent findings sorted."""
    said = result.to_json()
    return {**said, "seconds": 0, "examples": sorted(map(str, said.get("examples", [])))}


# ---------------------------------------------------------------- for a moment


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stray", STRAYS)
def test_one_stray_answer_to_any_call_changes_nothing(wire: Wire, end: str, stray: str) -> None:
    """Each kind of call gets a wrong answer once, also a prune's confirmation, a position and a second look.
    The run ends as if there had been none."""
    start = list(wire.rows)
    expected = told(run(ENDS[end](wire)))
    rows = sorted(map(str, wire.rows))
    asked = {request.what for request in wire.requests}
    wire.rows, wire.progress, wire.requests = start, None, []
    met: set[str] = set()

    def answer(request: Request) -> Answer:
        call = f"{request.what} {request.args}"
        if call in met:
            return None
        met.add(call)
        return STRAYS[stray]()

    wire.answer = answer
    assert told(run(ENDS[end](wire))) == expected
    assert sorted(map(str, wire.rows)) == rows
    assert {call.partition(" ")[0] for call in met} == asked


def test_a_minute_of_429_is_waited_out(wire: Wire) -> None:
    """From the first call on. Another program uses the same key, and Clerk says how long to wait."""
    wire.answer = lambda request: (
        httpx.Response(429, headers={"retry-after": "20"}) if request.side == "Clerk" and now() < 60 else None
    )
    assert run(backfill(wire.settings)).ok


@pytest.mark.parametrize("stray", ["429", "503", "garbage", "refused connection", "broken connection"])
@pytest.mark.parametrize("side", ["Clerk", "Convex"])
@pytest.mark.parametrize("begins", [0, 1])
def test_a_temporary_error_is_waited_out_for_minutes(wire: Wire, stray: str, side: str, begins: int) -> None:
    """Whether it begins with the first call or later."""
    wire.latency = lambda request: 0.5
    wire.answer = lambda request: STRAYS[stray]() if request.side == side and begins <= now() < 280 else None
    report = run(backfill(wire.settings))
    assert report.ok
    assert report.users == 5


@pytest.mark.parametrize(("side", "error"), [("Clerk", ClerkUnavailable), ("Convex", DeploymentUnavailable)])
@pytest.mark.parametrize("patience", [300.0, 20.0])
def test_patience_ends(wire: Wire, side: str, error: type[Exception], patience: float) -> None:
    """After five minutes, or after the patience that is set, and not much later."""
    ended = 0.0
    notes = Then(0, None)

    async def main() -> None:
        nonlocal ended
        with pytest.raises(error):
            await backfill(wire.settings, on_progress=notes, **options)
        ended = now()

    options: dict[str, Any] = {} if patience == 300.0 else {"patience": patience}
    wire.answer = lambda request: httpx.Response(503) if request.side == side else None
    run(main())
    assert patience - 11 < ended <= patience
    # The note comes soon, and once a minute at most.
    assert notes.notes[0].startswith(f"Waiting for {side}, at most ")
    assert f"s more: {side} answered 503" in notes.notes[0]
    assert len(notes.notes) == 1  # less than a minute has passed by the wall clock


def test_short_trouble_prints_no_note(wire: Wire) -> None:
    notes = Then(0, None)
    wire.answer = lambda request: httpx.Response(503) if len(wire.requests) in {1, 5, 9} else None
    assert run(backfill(wire.settings, on_progress=notes)).ok
    assert notes.notes == []


def test_notes_name_the_side_that_is_waited_for(wire: Wire) -> None:
    notes = Then(0, None)

    # Clerk may be asked last at 9.9 s, and then again after 10 s more.
    def answer(request: Request) -> Answer:
        return httpx.Response(503) if now() < (10 if request.side == "Clerk" else 40) else None

    wire.answer = answer
    assert run(backfill(wire.settings, on_progress=notes)).ok
    assert [note[:18] for note in notes.notes] == ["Waiting for Clerk,", "Waiting for Convex"]


# ---------------------------------------------------------------- for good


LASTING = ["302", "401", "403", "404"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stray", LASTING)
@pytest.mark.parametrize(
    ("side", "error"), [("Clerk", ClerkConvexError), ("Convex", DeploymentMisconfigured)]
)
def test_an_error_from_the_start_ends_the_run_within_seconds(
    wire: Wire, end: str, stray: str, side: str, error: type[Exception]
) -> None:
    """A wrong key or address is tried about three times, and nothing is written."""
    ended = 0.0
    rows = list(wire.rows)

    async def main() -> None:
        nonlocal ended
        with pytest.raises(error, match=f"{side} answered {stray}"):
            await ENDS[end](wire)
        ended = now()

    wire.answer = lambda request: STRAYS[stray]() if request.side == side else None
    run(main())
    assert 1 < ended < 4
    assert Counter(request.side for request in wire.requests)[side] == 3
    assert wire.rows == rows


@pytest.mark.parametrize("stray", LASTING)
@pytest.mark.parametrize("side", ["Clerk", "Convex"])
def test_a_run_that_has_worked_retries_longer(wire: Wire, stray: str, side: str) -> None:
    """A key that is revoked during the run ends it within a minute, and the report names the refusal."""
    began = 0.0

    def answer(request: Request) -> Answer:
        nonlocal began
        if request.side != side or not wire.asked("saveBackfill"):
            return None
        began = began or now()
        return STRAYS[stray]()

    async def main() -> tuple[Report, float]:
        return await backfill(wire.settings, concurrency=1), now()

    wire.latency = lambda request: 0.01
    wire.answer = answer
    report, ended = run(main())
    assert str(report.error).startswith(f"{side} answered {stray}")
    assert not report.ok
    assert 19 < ended - began < 45


@pytest.mark.parametrize("side", ["Clerk", "Convex"])
def test_a_running_backfill_survives_fifteen_seconds_of_refusals(wire: Wire, side: str) -> None:
    """Everything is refused for fifteen seconds."""
    refusals = 0

    def answer(request: Request) -> Answer:
        nonlocal refusals
        if request.side != side or not 2.0 <= now() < 17:
            return None
        refusals += 1
        return STRAYS["401"]()

    wire.latency = lambda request: 0.4
    wire.answer = answer
    assert run(backfill(wire.settings, concurrency=1)).ok
    assert refusals >= 2


def test_a_key_that_cannot_be_sent_is_not_retried(wire: Wire) -> None:
    """No request can carry its characters. So nothing is sent, and the run does not wait."""
    settings = wire.settings.model_copy(update={"clerk_secret_key": SecretStr("sk_live_\n")})
    wire.answer = lambda request: httpx.LocalProtocolError("no")

    async def main() -> float:
        with pytest.raises(ClerkMisconfigured, match="characters no request can carry"):
            await backfill(settings)
        return now()

    assert run(main()) < 0.1
    assert len(wire.requests) == 1


def test_settings_that_are_missing_are_named_together(wire: Wire) -> None:
    for name in ("clerk_secret_key", "convex_url", "convex_deploy_key"):
        settings = wire.settings.model_copy(update={name: None})
        with pytest.raises(SettingsError, match=name.upper()):
            run(backfill(settings))
    assert wire.requests == []


# ---------------------------------------------------------------- changes


def submitted(wire: Wire, count: int, *, dry_run: bool = False) -> list[Any]:
    async def main() -> list[Any]:
        async with Session.open(wire.settings, concurrency=8, dry_run=dry_run) as session:
            columns: dict[str, Any] = {"status": "active", "createdAt": 1.0}
            changes = [Upsert(f"user_{number}", 1.0, 1.0, columns, "backfill") for number in range(count)]
            return list(await session.submit(changes))

    return run(main())


def refusing(*clerk_ids: str, times: int = 1_000_000) -> Callable[[Request], Answer]:
    """Refuse mutations with these users, each a number of times."""
    left = dict.fromkeys(clerk_ids, times)

    def answer(request: Request) -> Answer:
        if request.what != "syncUsers":
            return None
        ids = [change["clerkId"] for change in request.args["changes"]]
        wrong = [clerk_id for clerk_id in ids if left.get(clerk_id)]
        if len(ids) == 1:
            left.update({clerk_id: left[clerk_id] - 1 for clerk_id in wrong})
        return failure() if wrong else None

    return answer


def test_a_user_is_refused_when_convex_refuses_twice(wire: Wire) -> None:
    """A single refusal may come from a gateway. The outcomes are in the order of the changes."""
    wire.answer = refusing("user_3", times=1)
    assert submitted(wire, 6) == ["created"] * 6
    wire.rows = []
    wire.answer = refusing("user_1", "user_4")
    answers = submitted(wire, 6)
    assert [isinstance(answer, ChangeRefused) for answer in answers] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    # One retry, and no more.
    alone = [
        request
        for request in wire.asked("syncUsers")
        if [change["clerkId"] for change in request.args["changes"]] == ["user_4"]
    ]
    assert len(alone) == 2


def test_a_hundred_refusals_and_no_written_user_end_the_run(wire: Wire) -> None:
    """Ninety-nine refusals do not. Once a user was written, any number may be refused."""
    ids = [f"user_{number}" for number in range(150)]
    wire.answer = refusing(*ids)
    assert len(submitted(wire, 99)) == 99
    with pytest.raises(DeploymentMisconfigured, match="refuses every user"):
        submitted(wire, 100)
    wire.answer = refusing(*ids[1:])
    assert len(submitted(wire, 150)) == 150


def test_half_of_the_slots_are_left_to_the_webhooks(wire: Wire) -> None:
    wire.latency = lambda request: 1.0
    assert len(submitted(wire, 4000)) == 4000
    assert wire.most_open == 4


def test_changes_wait_for_convex_as_long_as_the_patience(wire: Wire) -> None:
    wire.answer = lambda request: httpx.Response(503) if now() < 250 else None
    assert submitted(wire, 3) == ["created"] * 3
    wire.answer = lambda request: httpx.Response(503)
    with pytest.raises(DeploymentUnavailable, match="within 300 s"):
        submitted(wire, 3)


def test_a_bug_is_not_waited_out(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: object, change: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("clerk_convex.convex.writer.Writer.submit", broken)
    with pytest.raises(ZeroDivisionError):
        submitted(wire, 3)


# ---------------------------------------------------------------- what it does, and what it leaves


@pytest.mark.parametrize("end", ["verify", "dry run"])
def test_a_mode_that_writes_nothing_calls_no_mutation(wire: Wire, end: str) -> None:
    """Not even for the first check: a deploy key that may only query is enough."""
    run(ENDS[end](wire))
    asked = [request for request in wire.requests if request.side == "Convex"]
    assert {request.kind for request in asked} == {"query"}


def test_a_dry_run_of_a_repair_calls_no_mutation(wire: Wire) -> None:
    repair = run(repair_duplicates(wire.settings, dry_run=True))
    assert sum(repair.removed.values()) == 1
    asked = [request for request in wire.requests if request.side == "Convex"]
    assert {request.kind for request in asked} == {"query"}


def test_a_mode_that_writes_checks_its_permission_first(wire: Wire) -> None:
    """A key that may not run mutations is found before anything is read."""
    run(backfill(wire.settings))
    asked = [(request.what, request.kind) for request in wire.requests]
    assert asked[:3] == [("/users/count", ""), ("syncUsers", "mutation"), ("compareUsers", "query")]
    assert wire.asked("syncUsers")[0].args == {"changes": []}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("broken", [False, True])
def test_no_connection_is_left_open(wire: Wire, end: str, broken: bool) -> None:
    """The connections to both sides are closed at the end of the run, not only with the loop, and also if it
    failed."""

    async def main() -> None:
        if broken:
            wire.answer = lambda request: STRAYS["401"]() if request.what == "compareUsers" else None
            with pytest.raises(DeploymentMisconfigured):
                await ENDS[end](wire)
        else:
            await ENDS[end](wire)
        assert wire.connected == 0

    run(main())


def test_slow_answers_are_waited_for(wire: Wire) -> None:
    """Clerk has 30 seconds for an answer and Convex 15, from the first call on. No call is made twice."""
    run(ENDS["backfill"](wire))
    quick = Counter(request.what for request in wire.requests if request.what != "saveBackfill")
    wire.rows, wire.requests = [{"clerkId": "user_ghost1"}], []
    wire.latency = lambda request: 28.0 if request.side == "Clerk" else 14.0
    report = run(backfill(wire.settings, concurrency=2))
    assert report.ok
    assert Counter(request.what for request in wire.requests)["/users/count"] == quick["/users/count"]
    wire.requests = []
    wire.latency = lambda request: 32.0 if request.side == "Clerk" else 0.0
    with pytest.raises(ClerkUnavailable, match="within 30 s"):
        run(backfill(wire.settings, patience=0))
    wire.latency = lambda request: 16.0 if request.side == "Convex" else 0.0
    with pytest.raises(DeploymentUnavailable, match="within 15 s"):
        run(backfill(wire.settings, patience=0))


def test_all_rows_come_in_pages_of_500(wire: Wire) -> None:
    wire.rows = [{"clerkId": f"user_{number}"} for number in range(1100)]

    async def main() -> list[int]:
        async with Session.open(wire.settings, concurrency=1, dry_run=True) as session:
            pages = [page async for page in session.rows()]
            assert [row for page in pages for row in page] == wire.rows
            return [len(page) for page in pages]

    assert run(main()) == [500, 500, 100]


def test_the_functions_may_be_in_another_module(wire: Wire) -> None:
    """Every call goes to it, also the calls of the writer."""
    settings = wire.settings.model_copy(update={"convex_users_module": "people"})
    called: set[str] = set()

    def answer(request: Request) -> Answer:
        if request.side == "Convex":
            called.add(request.what)
            return failure("Could not find function")
        return None

    wire.answer = answer
    with pytest.raises(DeploymentMisconfigured, match="no such function"):
        run(backfill(settings))
    assert called == {"people:syncUsers"}

    async def main() -> None:
        async with Session.open(settings, concurrency=1, dry_run=True) as session:
            with pytest.raises(DeploymentMisconfigured):
                await session.call("query", "lastWebhookAt", {})

    run(main())
    assert called == {"people:syncUsers", "people:lastWebhookAt"}


# ---------------------------------------------------------------- CLERK_INSTANCE_ID


@pytest.mark.parametrize("end", ENDS)
def test_a_key_of_another_instance_writes_nothing(
    wire: Wire, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every mode refuses it immediately, with one sentence that names both settings. Convex is not called."""
    right = wire.settings.model_copy(update={"clerk_instance_id": wire.clerk.instance_id})
    monkeypatch.setattr(Wire, "settings", property(lambda self: right))
    run(ENDS[end](wire))
    assert len(wire.asked("/instance")) == 1

    wrong = right.model_copy(update={"clerk_instance_id": "ins_other"})
    monkeypatch.setattr(Wire, "settings", property(lambda self: wrong))
    wire.requests = []
    with pytest.raises(ClerkMisconfigured) as caught:
        run(ENDS[end](wire))
    assert str(caught.value) == (
        f"CLERK_SECRET_KEY belongs to another Clerk instance ({wire.clerk.instance_id}, production) than "
        "CLERK_INSTANCE_ID names: nothing was done. Set the key of the right instance, or correct "
        "CLERK_INSTANCE_ID."
    )
    assert [request.what for request in wire.requests] == ["/instance"]


def test_the_instance_is_read_only_if_it_is_set(wire: Wire) -> None:
    """Without CLERK_INSTANCE_ID the route is not needed: an older stand-in for Clerk may lack it."""
    wire.answer = lambda request: STRAYS["404"]() if request.what == "/instance" else None
    assert run(backfill(wire.settings)).ok
    assert wire.asked("/instance") == []


def test_every_run_writes_at_the_pace_of_the_settings(wire: Wire) -> None:
    """A backfill, a follower, `repair` and `adopt`, which calls mutations of its own. By default it is half
    of what Convex's usual class takes. A comparison writes nothing."""
    default = Settings(**{**dict(wire.settings), "clerk_convex_pace": ""})

    async def main() -> tuple[float, float]:
        async with Session.open(default, concurrency=1, dry_run=True) as session:
            assert session.writer.pace is None
            await session.write("repairDuplicates", {"clerkIds": ["user_1"] * 100}, 100)
            assert now() < 0.001
        async with Session.open(default, concurrency=1, dry_run=False) as session:
            assert session.writer.pace is not None
            rate = session.writer.pace.rate
            for _ in range(20):
                await session.write("repairDuplicates", {"clerkIds": ["user_1"] * 100}, 100)
            return rate, now()

    rate, seconds = run(main())
    assert rate == 2 * 1024 * 1024
    assert seconds == pytest.approx(19 * 100 * INDEXED_BYTES / rate, rel=0.1)


def test_the_heartbeat_ends_with_the_run(wire: Wire) -> None:
    """There is no call about a run that has ended, whether it finished or failed."""

    async def main() -> None:
        for answer in (lambda request: None, lambda request: broken(request)):
            wire.answer = answer
            await backfill(wire.settings)
            tasks = asyncio.all_tasks()
            assert len(tasks) == 1
            wire.requests = []
            await asyncio.sleep(100)
            assert wire.requests == []

    def broken(request: Request) -> Answer:
        return STRAYS["401"]() if request.what == "/users" else None

    run(main())


def test_a_404_of_one_user_is_not_retried(wire: Wire) -> None:
    """rows.confirm asks twice for a user who is gone, so the client does not retry."""

    async def main() -> None:
        async with Session.open(wire.settings, concurrency=1, dry_run=True) as session:
            assert isinstance(session.clerk, Clerk)
            with pytest.raises(ClerkConvexError, match="no such user"):
                await session.clerk.get_user("user_gone")

    run(main())
    assert len(wire.requests) == 1
