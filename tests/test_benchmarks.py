"""The benchmarks run, and distinguish a correct server from a wrong one. Their numbers here mean nothing."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import replace

import httpx
import pytest

from benchmarks import bodies, costs, follow, totals
from benchmarks.backfill import Run
from benchmarks.backfill import report as backfill_report
from benchmarks.backfill import targets as backfill_targets
from benchmarks.webhook import Cell, model, report, targets
from clerk_convex.convex import INDEXED_BYTES
from tests.support.functions import ROOT


def cell(peer: str, **measured: object) -> Cell:
    values: dict[str, object] = {
        "peer": peer,
        "connections": 512,
        "events_per_second": 4000.0,
        "p50_ms": 30.0,
        "p99_ms": 40.0,
        "cpu_us": 150.0,
        "memory_mb": 60.0,
        "healthz_p99_ms": 5.0,
        "healthz_max_ms": 9.0,
        "rows": 100,
        "mutations": 10,
        "conflicts": 0,
        "refused": {},
        "statuses": {"200": 100},
        "unanswered": 0,
        "load_cpu_seconds": 0.1,
    }
    return Cell(**(values | measured))  # type: ignore[arg-type]


def test_the_benchmark_runs() -> None:
    """One command measures the peers, counts the written rows, and leaves no files behind."""
    command = [sys.executable, "-m", "benchmarks.webhook", "--json"]
    command += ["--fast", "--seconds=0.3", "--connections=8", "--peers=signature-only,ours"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=150, check=False)
    assert run.returncode == 0, run.stderr.decode()

    result = json.loads(run.stdout)
    ceiling, ours = result["cells"]
    assert (ceiling["peer"], ceiling["rows"]) == ("signature-only", 0)
    assert ours["rows"] == ours["statuses"]["200"] > 0
    assert 0 < ours["mutations"] <= ours["rows"]
    assert ours["p50_ms"] >= 25  # a mutation's own latency
    assert result["hanging"].keys() == {"ours"}
    assert [target["name"] for target in result["targets"]]


def test_a_lost_row_is_wrong() -> None:
    """A 200 without a row is reported, and so is an extra row."""
    assert cell("ours").is_right
    assert not cell("ours", rows=99).is_right
    assert not cell("ours", rows=101).is_right
    assert cell("ours", rows=101, unanswered=1).is_right
    assert not cell("ours", rows=99, statuses={"200": 100, "503": 1}).is_right
    assert not cell("ours", rows=0, statuses={"503": 100}).is_right
    assert not cell("signature-only").is_right
    assert cell("signature-only", rows=0).is_right
    assert "WRONG" in report([cell("ours", rows=99)], {})


def test_limits_that_were_reached_are_reported() -> None:
    """Only those of a run that reached one."""
    limited = cell("ours", conflicts=3, refused={"TooManyWrites": 2})
    assert "3 conflicts tried again, calls refused {'TooManyWrites': 2}" in report([limited], {})
    assert "refused" not in report([cell("ours", refused={"TooManyWrites": 0})], {})


def test_targets_are_compared_with_the_measurements() -> None:
    """A target is met or missed by its own numbers. A target without a measurement is not mentioned."""
    slow = [cell("signature-only", events_per_second=6153.0), cell("websocket", events_per_second=40.0)]
    assert [target.met for target in targets([*slow, cell("ours")], {})] == [True, True, True]
    quick = [cell("signature-only", events_per_second=7900.0), cell("ours")]
    assert [target.met for target in targets(quick, {})] == [False, True]
    assert [target.met for target in targets(quick, {}, fast=True)] == [True, True]
    late = cell("ours", events_per_second=3999.0, memory_mb=150.0)
    assert [target.met for target in targets([*slow, late], {"ours": 20.1})] == [False, False, False, False]
    assert [target.met for target in targets([cell("ours", connections=8, p99_ms=51.0)], {})] == [False, True]
    assert targets(slow, {"express": 1.0}) == []


def test_the_backfills_benchmark_runs() -> None:
    """Every generated user is written once, also by the loop with one mutation per user."""
    command = [sys.executable, "-m", "benchmarks.backfill", "--json", "--users=1200", "--loop=3"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=150, check=False)
    assert run.returncode == 0, run.stderr.decode()

    (measured,) = json.loads(run.stdout)["runs"]
    assert measured["rows"] == measured["users"] == 1200
    assert measured["mutations"] < 20
    assert measured["loop_users_per_second"] > 0
    assert measured["memory_mb"] > 10


def test_the_backfills_targets_are_compared() -> None:
    """A lost user is an error. With few users the targets are not judged."""
    run = Run(
        users=100_000,
        rows=100_000,
        mutations=300,
        conflicts=0,
        refused={},
        app_calls=0,
        app_refused=0,
        app_slowest_ms=0.0,
        seconds=10.0,
        users_per_second=20_000.0,
        cpu_us=40.0,
        memory_mb=90.0,
        loop_users_per_second=30.0,
    )
    assert [target.met for target in backfill_targets([run])] == [True, True]
    slow = replace(run, users_per_second=19_999.0, memory_mb=150.0)
    assert [target.met for target in backfill_targets([slow])] == [False, False]
    assert backfill_targets([replace(run, users=1000)]) == []
    assert "WRONG" in backfill_report([replace(run, rows=99_999)])
    assert "WRONG" not in backfill_report([run])
    beside = replace(run, refused={"TooManyWrites": 16}, app_calls=2000, app_refused=427, has_limits=True)
    assert "of the app 427 of 2,000 refused" in backfill_report([beside])
    assert [target.met for target in backfill_targets([beside])] == [False, True]
    assert [target.met for target in backfill_targets([replace(beside, app_refused=2)])] == [False, True]
    assert [target.met for target in backfill_targets([replace(beside, app_refused=1)])] == [True, True]
    assert "refused" not in backfill_report([run])


@pytest.mark.anyio
async def test_the_model_has_the_limits_of_convex() -> None:
    """It refuses what is written too fast, after retries of its own, to the app, too; and it tries conflicts
    again. Each call that is not refused is written."""
    call = {"path": "users:syncUsers", "args": {"changes": [{}]}}
    with model(row_bytes=1_000_000, app_rate=100, totals="shards") as convex:
        async with httpx.AsyncClient(base_url=convex.url, trust_env=False, timeout=30) as client:
            answers = await asyncio.gather(*(client.post("/api/mutation", json=call) for _ in range(100)))
        counted, app = convex.written(), convex.app()
    refused = [answer.json()["code"] for answer in answers if answer.status_code == 429]
    assert counted["rows"] == sum(answer.status_code == 200 for answer in answers) > 5
    assert counted["refused"]["TooManyWrites"] == refused.count("TooManyWrites") == len(refused) > 0
    assert counted["conflicts"] > 0
    assert app["calls"] > 20


def test_totals_conflict_only_in_shards() -> None:
    """A rebuild refuses the long mutations of earlier versions, and none of ours."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.totals", "--calls=100", "--json"],
        cwd=ROOT,
        capture_output=True,
        timeout=150,
        check=True,
    )
    before, now = (totals.Counted(**counted) for counted in json.loads(run.stdout))
    assert (before.totals, now.totals) == ("shards", "deltas")
    # Of those that conflict, a few do so until they are refused.
    assert 0 < before.commits <= now.commits == 8 * 100
    assert before.conflicts > 0
    assert (before.committed_in_rebuild, before.refused_in_rebuild) == (0, 8)
    assert (now.conflicts, now.committed_in_rebuild, now.refused_in_rebuild) == (0, 8, 0)
    assert totals.report([now]).splitlines()[1].split() == [
        "deltas",
        "0.00",
        str(now.committed_in_rebuild),
        "0",
    ]


@pytest.mark.anyio
async def test_the_model_without_limits_refuses_nothing() -> None:
    call = {"path": "users:syncUsers", "args": {"changes": [{}]}}
    with model() as convex:
        async with httpx.AsyncClient(base_url=convex.url, trust_env=False, timeout=30) as client:
            answers = await asyncio.gather(*(client.post("/api/mutation", json=call) for _ in range(100)))
        counted = convex.written()
    assert {answer.status_code for answer in answers} == {200}
    assert (counted["rows"], counted["conflicts"], {*counted["refused"].values()}) == (100, 0, {0})


def test_memory_is_bounded_for_unsigned_bodies() -> None:
    """A server keeps about 32 MB of the bodies that senders hold back, and accepts every event."""
    forged = bodies.measure(800, 511_000, 1.5)
    assert forged["memory_mb"] < 800 * 0.511 * 0.75
    assert forged["answers_to_senders"].keys() >= {"503"}
    assert forged["kept_out"] == 0
    unsigned = bodies.measure(100, 511_000, 0.5, unsigned=True)
    assert unsigned["memory_mb"] < 100 * 0.511 * 0.6
    assert unsigned["answers_to_senders"] == {"400": 100}
    assert unsigned["kept_out"] == 0


def test_documented_costs_are_those_that_are_counted() -> None:
    """The table of the page Performance. A change that makes a user dearer has to change it."""
    page = (ROOT / "docs/explanation/performance.md").read_text()
    rows = re.findall(r"^\| (\w[\w ]*) \| ([\d,]+) \| (\d+) \| ([\d,]+) \|$", page, re.MULTILINE)
    documented = {name: [int(number.replace(",", "")) for number in numbers] for name, *numbers in rows}
    with costs.running() as convex:
        measured = dict(costs.costs(convex))
        in_a_batch = max(costs.in_a_batch(convex))
        night = measured["verified at night"] = costs.nightly_costs(convex)
        counted = {
            name: [it.bytes_written, it.entries_written, it.bytes_read] for name, it in measured.items()
        }
    assert documented == counted
    assert night.documents_read == 1  # the row, with its stamp
    # A run keeps to its pace by this number. If it were much too large, runs would be needlessly slow.
    assert in_a_batch <= INDEXED_BYTES <= in_a_batch * 1.1


def test_changes_are_planned_for_a_follower() -> None:
    """Each kind once in a round, each for a user of its own, demotions for those who are admins."""
    ids = [f"user_{number}" for number in range(40)]
    planned = follow.plan(ids, 5.0, 3)
    assert [change.at for change in planned] == sorted(change.at for change in planned)
    assert 0 <= planned[0].at < 5 < 10 <= planned[-1].at < 15
    kinds = [change.kind for change in planned]
    assert {kinds.count(kind) for kind in (*follow.KINDS, follow.SIGN_UP)} == {3}
    assert len({change.user for change in planned}) == len(planned)
    assert {change.user for change in planned if change.kind == "demotion"} == set(ids[:3])


def test_a_follower_is_compared_with_its_interval() -> None:
    """A takeover may take the lease longer. A change that never arrived is not met."""
    found = follow._latencies({"edit": [1.0, 3.0, 12.0], "deletion": [20.0], "ban": [2.0, float("inf")]})
    text = follow.report(follow.Run(5.0, 1000, 1.0, False, list(found)))
    assert "| edit | 3 | 3.0 | 12.0 | 2.4 |" in text
    assert "MISSED  edit: within 10 s (12.0)" in text
    assert "met     deletion: within 20 s (20.0)" in text
    assert "MISSED  ban: within 10 s (2.0)" in text
    assert "LOST    1 of ban" in text
    killed = follow.report(follow.Run(5.0, 1000, 0.5, True, [follow.Latency("edit", 3, 3.0, 12.0, 0)]))
    assert "met     edit: within 30 s (12.0)" in killed
    assert killed.startswith("50% of the webhooks lost, 1,000 users, an interval of 5 s, the follower killed")


def test_a_change_is_seen_in_its_row() -> None:
    """Each kind in the row that has it, and in no other; a deletion where there is no row."""
    rows: dict[str, follow.Row | None] = {
        "edit": {"firstName": "Ada"},
        "promotion": {"role": "admin"},
        "demotion": {"role": "member"},
        "ban": {"status": "banned"},
        "lock": {"status": "locked"},
        "deprovision": {"status": "deprovisioned"},
        "sign-in": {"lastSignInAt": 1.0},
        "deletion": None,
    }
    for kind, (_, seen) in follow.KINDS.items():
        assert [name for name, row in rows.items() if seen(row)] == [kind]
