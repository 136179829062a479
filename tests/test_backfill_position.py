"""clerk_convex/backfill/position.py and convex/clerk/backfill.ts: a killed run goes on where it stopped."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clerk_convex.backfill import position
from clerk_convex.backfill.position import options_text
from clerk_convex.backfill.ranges import Range
from clerk_convex.backfill.session import Session
from clerk_convex.errors import DeploymentUnavailable
from clerk_convex.local.clerk import Faults, LocalClerk
from tests.backfill_set import DUMP, BackfillSet, Then, functions_of, hasty, small_pages
from tests.functions import LATER, Functions, Project

PROGRESS: dict[str, Any] = {
    "ranges": [{"after": None, "before": None, "position": {"createdAt": 5, "id": "user_1"}, "done": False}],
    "counts": {"created": 7},
    "failures": [],
}


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with functions_of(tmp_path_factory.mktemp("project")) as functions:
        yield functions


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    """The functions as they are: a run counts as ended after a minute."""
    with functions_of(tmp_path_factory.mktemp("project"), silence_ms="60 * 1000") as functions:
        yield functions


@pytest.fixture
def local(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackfillSet]:
    hasty(monkeypatch)
    with LocalClerk(rate_limit=0, secret_key="sk_live_" + "0" * 20) as clerk:
        yield BackfillSet(clerk, functions)


def start(functions: Functions, options: str = "a", *, restart: bool = False) -> Any:
    return functions.mutation("users:startBackfill", {"options": options, "restart": restart})


def save(functions: Functions, run: Any, *, progress: Any = PROGRESS, release: bool = False) -> Any:
    mine = {"id": run["id"], "attempt": run["attempt"]}
    return functions.mutation("users:saveBackfill", {**mine, "progress": progress, "release": release})


def finish(functions: Functions, run: Any) -> Any:
    mine = {"id": run["id"], "attempt": run["attempt"]}
    return functions.mutation("users:finishBackfill", {**mine, "progress": PROGRESS})


def table(functions: Functions, name: str) -> Any:
    return functions.query("test:dump", {"table": name})


# ---------------------------------------------------------------- the functions


def test_a_run_that_is_heard_of_is_left_alone(patient: Functions) -> None:
    """Within a minute of its last word it counts as under way: another one begins anew, and is told so."""
    patient.convex.clear()
    run = start(patient)
    assert save(patient, run) is True
    other = start(patient)
    assert other["id"] != run["id"]
    assert other["isBeside"] is True
    assert start(patient, "b")["isBeside"] is False


def test_a_released_run_is_gone_on_with_at_once(patient: Functions) -> None:
    """Who was interrupted says so; with other options, or from the beginning, it is another run."""
    patient.convex.clear()
    run = start(patient)
    save(patient, run, release=True)
    assert start(patient, "b")["progress"] is None
    resumed = start(patient)
    assert (resumed["id"], resumed["attempt"], resumed["progress"]) == (run["id"], 2, PROGRESS)
    save(patient, resumed, release=True)
    assert start(patient, restart=True)["id"] != run["id"]


def test_a_silent_run_is_taken_over_and_its_old_process_is_told(functions: Functions) -> None:
    """Two never keep their positions in one run."""
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


def test_a_heartbeat_keeps_the_position(functions: Functions) -> None:
    functions.convex.clear()
    run = start(functions)
    save(functions, run)
    assert save(functions, run, progress=None) is True
    assert start(functions)["progress"] == PROGRESS


def test_runs_that_are_given_up_are_told_of_in_the_audit_log(functions: Functions) -> None:
    """What a killed run created is one row too, once nobody can go on with it."""
    functions.convex.clear()
    run = start(functions)
    save(functions, run)
    start(functions, restart=True)
    (row,) = table(functions, "clerkAudit")
    assert (row["outcome"], row["count"], row["source"]) == ("created", 7, "backfill")
    assert "clerkId" not in row
    assert [bool(it.get("finishedAt")) for it in table(functions, "clerkBackfills")] == [True, False]


def test_a_run_of_yesterday_is_not_gone_on_with(tmp_path: Path) -> None:
    """It is resumed from its first silent minute until it is a day old."""
    project = Project(tmp_path)
    project.write("test.ts", DUMP)
    project.write("later.ts", LATER)
    options = {"options": "a", "restart": False}
    with project.running() as functions:
        run = start(functions)
        save(functions, run)
        beside = functions.later(45, "startBackfill", options)
        assert (beside["id"] != run["id"], beside["progress"], beside["isBeside"]) == (True, None, True)
        finish(functions, beside)
        for hours, attempt in ((61 / 3600, 2), (23.9, 3)):
            resumed = functions.later(hours * 3600, "startBackfill", options)
            assert (resumed["id"], resumed["attempt"]) == (run["id"], attempt)
            assert resumed["progress"] == PROGRESS
            save(functions, resumed, progress=None, release=True)
        new = functions.later(24.1 * 3600, "startBackfill", options)
        assert (new["attempt"], new["progress"]) == (1, None)
        assert [row["count"] for row in table(functions, "clerkAudit")] == [7, 7]


def test_few_finished_runs_are_kept(functions: Functions) -> None:
    functions.convex.clear()
    for _ in range(15):
        finish(functions, start(functions))
    start(functions)
    assert len(table(functions, "clerkBackfills")) == 11


# ---------------------------------------------------------------- what must be the same


def test_options_tell_instances_keys_and_columns_apart(local: BackfillSet) -> None:
    """Another instance, other columns, another version or pruning is another run; and no key is told."""
    texts = {
        options_text(local.settings(), prune=False),
        options_text(local.settings(), prune=True),
        options_text(local.settings(clerk_secret_key="sk_test_otherotherotherother"), prune=False),
        options_text(local.settings(clerk_api_url="http://127.0.0.1:9"), prune=False),
        options_text(local.settings(clerk_convex_fields=dict), prune=False),
    }
    assert len(texts) == 5
    assert options_text(local.settings(), prune=False) in texts
    assert not any(local.clerk.secret_key in text for text in texts)


# ---------------------------------------------------------------- the engine


def test_a_position_is_kept_after_each_page(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is never further on than one page of each range from what is kept."""
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


def test_saves_that_wait_are_done_by_the_next(local: BackfillSet) -> None:
    """However many pages are written while one save is on its way, one more keeps them all."""

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


def test_a_run_beside_another_says_so(patient: Functions) -> None:
    """It does not wait, and it does not take over what is under way."""
    with LocalClerk(rate_limit=0) as clerk:
        local = BackfillSet(clerk, patient)
        local.sign_up(1)
        start(patient, options_text(local.settings(), prune=False))
        notes = Then(0, None)
        assert local.run(on_progress=notes).counts == {"created": 1}
    assert notes.notes == [
        "Another run was under way less than a minute ago: this one begins anew, beside it."
    ]


def test_restart_begins_anew(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the failures of the run that was left are not told again."""
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


def test_failures_are_told_by_the_run_that_goes_on(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who could not be written before the run was stopped is in the final report, and in its status."""
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


def test_a_run_is_heard_of_while_nothing_comes(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Clerk is waited for, Convex hears that the run is there. Trouble with that stops nothing."""
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
        await asyncio.sleep(0.3)
        return [Range()]

    monkeypatch.setattr("clerk_convex.backfill.run.plan", slow)
    assert local.run().ok
    assert calls.count(None) >= 2


# ---------------------------------------------------------------- SIGKILL


def test_a_run_killed_five_times_ends_equal(local: BackfillSet) -> None:
    """SIGKILL at any moment, then the same command: it goes on, and in the end nothing is missing."""
    local.sign_up(5000)
    before = 0
    for _ in range(5):
        local.clerk.faults = Faults(delay=0.1)
        with local.command("--concurrency", "1", "--quiet") as process:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and process.poll() is None:
                done = len(local.functions.rows())
                if done > before:
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        before = len(local.functions.rows())
    local.clerk.faults = Faults()
    with local.command("--json") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert '"resumed": true' in out
    assert local.differences() == []
    assert local.verify().equal
