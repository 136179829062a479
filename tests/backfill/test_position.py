"""clerk_convex/backfill/position.py and convex/clerk/backfill/runs.ts: a killed run resumes."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from clerk_convex import __version__
from clerk_convex.backfill import backfill, position
from clerk_convex.backfill.position import options_text
from clerk_convex.backfill.ranges import Position, Range
from clerk_convex.backfill.session import Session
from clerk_convex.errors import DeploymentUnavailable
from clerk_convex.local.clerk import LocalClerk
from tests.support.backfill_set import DUMP, BackfillSet, Then, functions_of, small_pages
from tests.support.backfill_wire import Answer, Request, Wire
from tests.support.functions import LATER, Functions, Project, eventually
from tests.support.virtual_time import now, run

PROGRESS: dict[str, Any] = {
    "ranges": [{"after": None, "before": None, "position": {"createdAt": 5, "id": "user_1"}, "done": False}],
    "counts": {"created": 7},
    "failures": [],
}


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    """The unchanged functions: a run counts as ended after a minute."""
    with functions_of(tmp_path_factory.mktemp("project"), silence_ms="60 * 1000") as functions:
        yield functions


def start(
    functions: Functions, options: str = "a", *, restart: bool = False, holder: str | None = None
) -> Any:
    arguments = {"options": options, "restart": restart, "holder": holder or secrets.token_hex(8)}
    return functions.mutation("users:startBackfill", arguments)


def save(functions: Functions, run: Any, *, progress: Any = PROGRESS, release: bool = False) -> Any:
    mine = {"id": run["id"], "attempt": run["attempt"]}
    return functions.mutation("users:saveBackfill", {**mine, "progress": progress, "release": release})


def finish(functions: Functions, run: Any) -> Any:
    mine = {"id": run["id"], "attempt": run["attempt"]}
    return functions.mutation("users:finishBackfill", {**mine, "progress": PROGRESS})


def table(functions: Functions, name: str) -> Any:
    return functions.query("test:dump", {"table": name})


# ---------------------------------------------------------------- the functions


def test_an_active_run_is_not_taken_over(patient: Functions) -> None:
    """A run counts as active for a minute after its last call. Another process starts a new run then, and
    learns that it runs beside another one."""
    patient.convex.clear()
    run = start(patient)
    assert save(patient, run) is True
    other = start(patient)
    assert other["id"] != run["id"]
    assert other["isBeside"] is True
    assert start(patient, "b")["isBeside"] is False


def test_a_released_run_is_resumed_immediately(patient: Functions) -> None:
    """A process that is interrupted releases its run. With other options, or with --restart, a new run
    begins."""
    patient.convex.clear()
    run = start(patient)
    save(patient, run, release=True)
    assert start(patient, "b")["progress"] is None
    resumed = start(patient)
    assert (resumed["id"], resumed["attempt"], resumed["progress"]) == (run["id"], 2, PROGRESS)
    save(patient, resumed, release=True)
    assert start(patient, restart=True)["id"] != run["id"]


def test_a_silent_run_is_taken_over(functions: Functions) -> None:
    """The old process learns of it with its next call, so two processes never save positions in one run."""
    functions.convex.clear()
    run = start(functions)
    save(functions, run)
    resumed = start(functions)
    assert resumed["id"] == run["id"]
    assert save(functions, run) is False
    assert finish(functions, run) is False
    assert save(functions, resumed) is True
    assert finish(functions, resumed) is True
    assert save(functions, resumed) is False  # it is over


def test_a_call_for_a_run_may_be_repeated(patient: Functions) -> None:
    """Its answer may be lost after the commit. The process gets the run that it has resumed or begun."""
    patient.convex.clear()
    run = start(patient, holder="first")
    assert start(patient, holder="first") == run
    save(patient, run, release=True)
    resumed = start(patient, holder="second")
    assert (resumed["id"], resumed["attempt"], resumed["progress"]) == (run["id"], 2, PROGRESS)
    assert start(patient, holder="second") == resumed
    beside = start(patient, holder="third")
    assert (beside["id"] != run["id"], beside["isBeside"]) == (True, True)
    assert start(patient, holder="third") == beside
    anew = start(patient, restart=True, holder="fourth")
    assert start(patient, restart=True, holder="fourth") == anew
    assert len(table(patient, "clerkBackfills")) == 3
    finish(patient, anew)
    assert start(patient, holder="fifth")["id"] not in {run["id"], beside["id"], anew["id"]}


def test_a_run_of_earlier_functions_is_resumed(functions: Functions) -> None:
    """It has no holder."""
    functions.convex.clear()
    run = start(functions)
    functions.mutation("test:forgetHolder", {})
    assert "holder" not in table(functions, "clerkBackfills")[0]
    assert start(functions)["id"] == run["id"]


def test_a_heartbeat_keeps_the_position(functions: Functions) -> None:
    functions.convex.clear()
    run = start(functions)
    save(functions, run)
    assert save(functions, run, progress=None) is True
    assert start(functions)["progress"] == PROGRESS


def test_abandoned_runs_are_in_the_audit_log(functions: Functions) -> None:
    """Once a killed run can no longer be resumed, the users that it created are one entry too."""
    functions.convex.clear()
    run = start(functions)
    save(functions, run)
    start(functions, restart=True)
    (row,) = table(functions, "clerkAudit")
    assert (row.get("outcome"), row["count"], row["source"]) == (None, 7, "backfill")  # created
    assert "clerkId" not in row
    assert [bool(it.get("finishedAt")) for it in table(functions, "clerkBackfills")] == [True, False]


def test_a_run_expires_before_the_next_night(tmp_path: Path) -> None:
    """A run can be resumed after its first silent minute, until it is 20 hours old."""
    project = Project(tmp_path)
    project.write("test.ts", DUMP)
    project.write("later.ts", LATER)

    def later(seconds: float) -> Any:
        arguments = {"options": "a", "restart": False, "holder": f"after {seconds} s"}
        return functions.later(seconds, "startBackfill", arguments)

    with project.running() as functions:
        run = start(functions)
        save(functions, run)
        beside = later(45)
        assert (beside["id"] != run["id"], beside["progress"], beside["isBeside"]) == (True, None, True)
        finish(functions, beside)
        for hours, attempt in ((61 / 3600, 2), (19.9, 3)):
            resumed = later(hours * 3600)
            assert (resumed["id"], resumed["attempt"]) == (run["id"], attempt)
            assert resumed["progress"] == PROGRESS
            save(functions, resumed, progress=None, release=True)
        new = later(20.1 * 3600)
        assert (new["attempt"], new["progress"]) == (1, None)
        assert [row["count"] for row in table(functions, "clerkAudit")] == [7, 7]


def test_few_finished_runs_are_kept(functions: Functions) -> None:
    functions.convex.clear()
    for _ in range(15):
        finish(functions, start(functions))
    start(functions)
    assert len(table(functions, "clerkBackfills")) == 11


# ---------------------------------------------------------------- what must be the same


def test_options_differ_by_instance_columns_and_pruning(local: BackfillSet) -> None:
    """A run of another instance, with other columns or with pruning is another run. The options contain no
    key."""
    texts = {
        options_text(local.settings(), prune=False),
        options_text(local.settings(), prune=True),
        options_text(local.settings(clerk_secret_key="sk_test_otherotherotherother"), prune=False),
        options_text(local.settings(clerk_api_url="http://127.0.0.1:9"), prune=False),
        options_text(local.settings(clerk_convex_fields=dict), prune=False),
        options_text(local.settings(clerk_convex_omit=("phone",)), prune=False),
    }
    assert len(texts) == 6
    assert options_text(local.settings(), prune=False) in texts
    assert not any(local.clerk.secret_key in text for text in texts)


# ---------------------------------------------------------------- the engine


def test_a_position_is_saved_after_each_page(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The written users are at most one page of each range ahead of the saved position."""
    small_pages(monkeypatch, 10)
    local.sign_up(50)
    kept: list[int] = []
    genuine = position.KeptRun.save

    async def save_and_look(self: position.KeptRun) -> None:
        await genuine(self)
        (run,) = local.table("clerkBackfills")
        kept.append(sum(run["progress"]["counts"].values()))

    monkeypatch.setattr(position.KeptRun, "save", save_and_look)
    local.run(concurrency=1)
    assert kept == sorted(kept)
    assert kept[-1] == 50
    assert len(set(kept)) >= 5


def test_waiting_saves_are_merged_into_one(local: BackfillSet) -> None:
    """However many pages are written during a save, one more save covers them all."""

    class Counting(position.KeptRun):
        calls = 0

        async def _call(self, function: str, **arguments: Any) -> None:
            self.calls += 1
            await asyncio.sleep(0.01)

    async def save() -> int:
        async with Session.open(local.settings(), concurrency=1, dry_run=False) as session:
            run = Counting(session, {"id": "1", "attempt": 1.0, "progress": None})
            await asyncio.gather(*(run.save() for _ in range(10)))
            return run.calls

    assert asyncio.run(save()) <= 2


def test_a_run_beside_another_prints_a_note(patient: Functions) -> None:
    """It neither waits for the active run nor takes it over."""
    with LocalClerk(rate_limit=0) as clerk:
        local = BackfillSet(clerk, patient)
        local.sign_up(1)
        start(patient, options_text(local.settings(), prune=False))
        notes = Then(0, None)
        assert local.run(on_progress=notes).counts == {"created": 1}
    assert notes.notes == ["Another run was active less than a minute ago: this one starts anew."]


def test_restart_begins_a_new_run(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new run does not report the failures of the run that it replaces."""
    small_pages(monkeypatch, 10)
    local.sign_up(40)
    key = local.clerk.secret_key

    def revoke() -> None:
        local.clerk.secret_key = "sk_live_another"

    settings = local.settings()
    assert local.run(settings, concurrency=1, on_progress=Then(20, revoke)).error is not None
    local.clerk.secret_key = key
    report = local.run(settings, restart=True)
    assert not report.resumed
    assert report.users == 40


def test_a_resumed_run_reports_earlier_failures(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users who could not be written before the run was stopped are in the final report, and count for its
    status."""
    small_pages(monkeypatch, 10)
    ids = local.sign_up(40)
    first = min(local.clerk.users(), key=lambda user: (user["created_at"], user["id"]))["id"]
    assert first in ids

    def fields(user: Any) -> Any:
        return {"é": 1} if user["id"] == first else {}

    key = local.clerk.secret_key

    def revoke() -> None:
        local.clerk.secret_key = "sk_live_another"

    settings = local.settings(clerk_convex_fields=fields)
    local.run(settings, concurrency=1, on_progress=Then(20, revoke))
    local.clerk.secret_key = key
    report = local.run(settings)
    assert report.resumed
    assert [failure.clerk_id for failure in report.failures] == [first]
    assert not report.ok


def test_heartbeats_are_sent_while_clerk_is_waited_for(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat that fails does not stop the run."""
    monkeypatch.setattr(position, "_HEARTBEAT", 0.02)
    calls: list[Any] = []
    genuine = position.KeptRun._call

    async def note(self: position.KeptRun, function: str, **arguments: Any) -> None:
        calls.append(arguments.get("progress"))
        if arguments.get("progress") is None:
            await genuine(self, function, **arguments)
            raise DeploymentUnavailable("lost")
        await genuine(self, function, **arguments)

    monkeypatch.setattr(position.KeptRun, "_call", note)
    local.sign_up(1)

    async def slow(*arguments: Any) -> Any:
        async with asyncio.timeout(60):
            while calls.count(None) < 2:  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.01)
        return [Range()]

    monkeypatch.setattr("clerk_convex.backfill.run.plan", slow)
    assert local.run().ok


# ---------------------------------------------------------------- in virtual time


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    small_pages(monkeypatch, 2)
    wire = Wire(monkeypatch)
    for number in range(6):
        wire.clerk.create_user(username=f"user{number}", created_at=number)
    return wire


@asynccontextmanager
async def started(wire: Wire, *, restart: bool = False) -> AsyncIterator[position.KeptRun]:
    session = Session.open(wire.settings, concurrency=1, dry_run=False)
    async with session as opened, position.KeptRun.start(opened, "a", restart=restart) as kept:
        yield kept


def heartbeats(wire: Wire) -> list[float]:
    return [request.at for request in wire.asked("saveBackfill") if request.args["progress"] is None]


def test_a_heartbeat_is_sent_every_twenty_seconds(wire: Wire) -> None:
    """Also while Clerk is in trouble: after a minute of silence another process would take the run over. A
    heartbeat names the run and its attempt, and does not release it."""
    wire.answer = lambda request: (
        httpx.Response(503) if request.what == "/users" and 1 < now() < 120 else None
    )
    wire.latency = lambda request: 0.5
    assert run(backfill(wire.settings, concurrency=1)).ok
    beats = heartbeats(wire)
    assert len(beats) >= 5
    assert all(15 < later - earlier < 25 for earlier, later in pairwise(beats))
    (args,) = {str(request.args) for request in wire.asked("saveBackfill") if request.at in beats}
    assert args == str({"id": "run", "attempt": 1.0, "progress": None, "release": False})


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_refused_heartbeat_does_not_end_a_run(wire: Wire, status: int) -> None:
    """Even if Convex refuses every heartbeat of the run."""
    wire.answer = lambda request: (
        httpx.Response(status)
        if request.what == "saveBackfill" and request.args["progress"] is None
        else None
    )
    wire.latency = lambda request: 14.0
    assert run(backfill(wire.settings, concurrency=1)).ok
    assert len(heartbeats(wire)) >= 3


def test_the_release_of_a_failed_run_is_its_last_call(wire: Wire) -> None:
    """A heartbeat that is on its way when the run ends is withdrawn, because after the release it would make
    the run look active. The release has the position and the counts."""

    def answer(request: Request) -> Answer:
        return httpx.Response(401) if request.what == "/users" and len(wire.rows) >= 4 else None

    wire.answer = answer
    wire.latency = lambda request: (
        30.0 if request.what == "saveBackfill" and request.args["progress"] is None else 0.3
    )

    async def main() -> None:
        report = await backfill(wire.settings, concurrency=1)
        assert report.error is not None
        await asyncio.sleep(100)

    run(main())
    saves = wire.asked("saveBackfill")
    assert [request.args["release"] for request in saves] == [False] * (len(saves) - 1) + [True]
    last = saves[-1].args["progress"]
    assert last["counts"]["created"] == len(wire.rows)
    assert heartbeats(wire)
    assert last["ranges"][0]["position"] is not None
    assert wire.progress == last


def test_an_unanswered_release_takes_three_seconds(wire: Wire) -> None:
    """If Convex does not answer, the person who stopped the run does not have to wait longer."""
    wire.answer = lambda request: httpx.Response(401) if request.what == "/users" else None
    wire.latency = lambda request: 1000.0 if request.what == "saveBackfill" else 0.0

    async def main() -> float:
        async with Session.open(wire.settings, concurrency=1, dry_run=False) as session:
            started = now()
            with pytest.raises(ZeroDivisionError):
                async with position.KeptRun.start(session, "a", restart=False):
                    raise ZeroDivisionError
            return now() - started

    assert run(main()) == pytest.approx(3, abs=0.1)


def test_a_finished_run_is_not_released(wire: Wire) -> None:
    """The finish has the final progress, and is the last call about the run."""
    assert run(backfill(wire.settings, concurrency=1)).ok
    (finish,) = wire.asked("finishBackfill")
    assert finish.args["id"] == "run"
    assert finish.args["progress"]["counts"]["created"] == 6.0
    assert all(part["done"] for part in finish.args["progress"]["ranges"])
    assert not any(request.args["release"] for request in wire.asked("saveBackfill"))
    assert wire.requests[-1] == finish


def test_a_resumed_run_has_ranges_counts_and_failures_again(wire: Wire) -> None:
    """They are restored as they were saved, and the ranges that are done are not read."""
    saved = {
        "ranges": [
            {"after": None, "before": 2.0, "position": None, "done": True},
            {"after": 2.0, "before": 4.0, "position": {"createdAt": 2.0, "id": "user_x"}, "done": False},
            {"after": 4.0, "before": None, "position": {"createdAt": None, "id": ""}, "done": False},
        ],
        "counts": {"created": 2.0, "failed": 1.0},
        "failures": [{"clerkId": "user_x", "reason": "why"}],
    }
    wire.progress = saved

    async def main() -> None:
        async with started(wire, restart=True) as kept:
            assert kept.is_resumed
            assert kept.ranges == [
                Range(None, 2.0, None, True),
                Range(2.0, 4.0, Position(2.0, "user_x")),
                Range(4.0, None, Position(None, "")),
            ]
            assert kept.tally.counts == {"created": 2, "failed": 1}
            assert [(it.clerk_id, it.reason) for it in kept.tally.failures] == [("user_x", "why")]
            await kept.save()

    run(main())
    args = wire.asked("startBackfill")[0].args
    assert args == {"options": "a", "restart": True, "holder": args["holder"]}
    first, *_ = wire.asked("saveBackfill")
    assert first.args["progress"] == saved
    wire.progress = {**saved, "ranges": saved["ranges"][:1]}  # type: ignore[index]
    report = run(backfill(wire.settings))
    assert report.resumed
    assert report.users == 0
    assert not report.ok


def test_each_start_has_a_holder_of_its_own(wire: Wire) -> None:
    """A call that is repeated has the same."""
    wire.answer = lambda request: (
        httpx.Response(503) if request.what == "startBackfill" and now() < 1 else None
    )

    async def main() -> None:
        async with started(wire):
            repeated = [request.args["holder"] for request in wire.asked("startBackfill")]
            assert len(repeated) > 1
            assert len(set(repeated)) == 1
        async with started(wire):
            assert wire.asked("startBackfill")[-1].args["holder"] != repeated[0]

    run(main())


def test_a_new_run_has_nothing_yet(wire: Wire) -> None:
    async def main() -> None:
        async with started(wire) as kept:
            assert not kept.is_resumed
            assert not kept.is_beside_another
            assert kept.ranges == []

    run(main())
    assert wire.asked("startBackfill")[0].args["restart"] is False


def test_a_save_that_fails_ends_the_run_when_patience_is_over(wire: Wire) -> None:
    """A run ends if its position cannot be saved within the patience, and not before."""
    wire.answer = lambda request: (
        httpx.Response(503)
        if request.what == "saveBackfill" and request.args["progress"] is not None and now() < 100
        else None
    )
    assert run(backfill(wire.settings, concurrency=2)).ok
    wire.requests.clear()
    report = run(backfill(wire.settings, concurrency=2, patience=20))
    assert isinstance(report.error, DeploymentUnavailable)


def test_a_save_includes_changes_made_while_it_waited(wire: Wire) -> None:
    """Only one save is on its way at a time, and each caller returns only when its own change is saved."""
    wire.latency = lambda request: 1.0 if request.what == "saveBackfill" else 0.0

    async def main() -> None:
        async with Session.open(wire.settings, concurrency=1, dry_run=False) as session:
            kept = position.KeptRun(session, {"id": "run", "attempt": 1.0, "progress": None})

            async def change(number: int) -> None:
                await asyncio.sleep(number * 0.1)
                kept.tally.counts["created"] = number
                await kept.save()
                assert wire.progress["counts"]["created"] >= number

            await asyncio.gather(*(change(number) for number in range(5)))

    run(main())
    saves = wire.asked("saveBackfill")
    assert [save.args["progress"]["counts"]["created"] for save in saves] == [0.0, 4.0]
    assert [save.at for save in saves] == pytest.approx([0, 1], abs=0.01)


def test_options_contain_the_version_and_the_fields_function(local: BackfillSet) -> None:
    """Another version may have other columns. The function of CLERK_CONVEX_FIELDS is named by its module and
    name."""
    text = json.loads(options_text(local.settings(clerk_convex_fields=start), prune=True))
    assert text["version"] == __version__
    assert text["fields"] == f"{start.__module__}:start"
    assert text["prune"] is True
    assert re.fullmatch("[0-9a-f]{16}", text["clerk"])
    assert json.loads(options_text(local.settings(), prune=False))["fields"] is None


# ---------------------------------------------------------------- SIGKILL


def test_a_run_killed_five_times_ends_equal(local: BackfillSet) -> None:
    """The run is killed with SIGKILL at any moment and started again with the same command. It resumes, and
    at the end no user is missing."""
    local.sign_up(3000)

    def reached() -> Any:
        saved = [run["progress"] for run in local.table("clerkBackfills") if run.get("progress")]
        positions = [at["position"] for progress in saved for at in progress["ranges"]]
        return [position for position in positions if position is not None]

    states: tuple[Callable[[], Any], ...] = (local.newest, reached, local.newest, reached, local.newest)
    for state in states:
        before = state()
        # A run takes longer than the test waits for its first row, or for the end of its first page.
        with local.command("--concurrency", "1", "--quiet", CLERK_CONVEX_PACE="0.5") as process:
            assert eventually(lambda: state() != before)  # noqa: B023 - it is called at once
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
    with local.command("--json") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert '"resumed": true' in out
    assert local.differences() == []
    assert local.verify().equal
