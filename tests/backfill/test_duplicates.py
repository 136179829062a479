"""clerk_convex/backfill/duplicates.py: users with several rows are reported as duplicates, and repaired."""

from __future__ import annotations

import json

import pytest

from clerk_convex.backfill import repair_duplicates, verify
from clerk_convex.backfill.duplicates import find_duplicates
from clerk_convex.backfill.session import Session
from clerk_convex.cli import main as cli
from tests.support.backfill_set import BackfillSet, Then
from tests.support.backfill_wire import Wire
from tests.support.functions import eventually
from tests.support.virtual_time import run


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire(monkeypatch)
    wire.rows = [{"clerkId": f"user_{number}"} for number in range(260)]
    wire.rows += [{"clerkId": f"user_{number}"} for number in range(250)]
    wire.rows += [{"clerkId": "user_7"}]
    return wire


def test_all_pages_are_read_and_each_id_is_found_once(wire: Wire) -> None:
    """A page may end between two rows of one user."""

    async def main() -> list[str]:
        async with Session.open(wire.settings, concurrency=1, dry_run=True) as session:
            return await find_duplicates(session)

    assert sorted(run(main())) == sorted(f"user_{number}" for number in range(250))
    cursors = [request.args["cursor"] for request in wire.asked("findDuplicates")]
    assert cursors[:3] == [None, "2", "4"]


def test_a_hundred_are_repaired_at_a_time(wire: Wire) -> None:
    steps = Then(0, None)
    steps.step = lambda progress: notes.append(progress)  # type: ignore[method-assign]
    notes: list[object] = []
    repair = run(repair_duplicates(wire.settings, on_progress=steps))
    assert [len(request.args["clerkIds"]) for request in wire.asked("repairDuplicates")] == [100, 100, 50]
    assert len(repair.removed) == 250
    assert (repair.removed["user_7"], repair.removed["user_8"]) == (2, 1)
    assert not repair.dry_run
    assert len(notes) == 3
    assert sorted(row["clerkId"] for row in wire.rows) == sorted(f"user_{number}" for number in range(260))


def test_a_dry_run_counts_what_would_be_removed(wire: Wire) -> None:
    before = list(wire.rows)
    dry = run(repair_duplicates(wire.settings, dry_run=True))
    assert wire.rows == before
    assert dry.dry_run
    wet = run(repair_duplicates(wire.settings))
    assert dict(dry.removed) == dict(wet.removed)


def test_a_user_with_very_many_rows_is_repaired_in_parts(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutation removes a bounded number of rows. The repair ends if a mutation removes none."""
    wire.rows = [{"clerkId": "user_a"}] * 250 + [{"clerkId": "user_b"}] * 2
    wire.most_removed = 99
    repair = run(repair_duplicates(wire.settings))
    assert repair.removed == {"user_a": 249, "user_b": 1}
    assert len(wire.rows) == 2
    wire.rows, wire.most_removed = [{"clerkId": "user_a"}] * 2, 0
    wire.requests = []
    assert run(repair_duplicates(wire.settings)).removed == {"user_a": 0}
    assert len(wire.asked("repairDuplicates")) == 1


def test_verify_reports_duplicates_only_as_duplicates(wire: Wire) -> None:
    """Whether or not Clerk still has the user."""
    user_id = wire.clerk.create_user()["id"]
    wire.rows = [
        {"clerkId": user_id},
        {"clerkId": user_id},
        {"clerkId": "user_gone"},
        {"clerkId": "user_gone"},
    ]
    verified = run(verify(wire.settings))
    assert sorted(verified.examples) == sorted([("duplicate", user_id), ("duplicate", "user_gone")])
    assert (verified.duplicate, verified.differing, verified.missing, verified.extra) == (2, 0, 0, 0)
    assert not verified.equal


# ---------------------------------------------------------------- with the functions


@pytest.fixture
def local(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.05)
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    return local


def next_commands(text: str) -> list[str]:
    """Return the suggested commands in a text."""
    told = text.strip().rpartition("Next: ")[2].partition("    (")[0]
    return [
        part.replace("python -m clerk_convex.backfill", "clerk-convex backfill").removeprefix("clerk-convex ")
        for part in told.split(", then ")
    ]


def test_following_the_next_commands_ends_equal(
    local: BackfillSet, capsys: pytest.CaptureFixture[str]
) -> None:
    """There are two users with two rows each, and Clerk has deleted one of the users. The suggested commands
    end with both sides equal, and no command leads back to an earlier one that changed nothing."""
    ids = local.sign_up(25)
    local.run()
    for clerk_id in ids[:2]:
        local.edit(clerk_id, "copy")
    local.clerk.delete_user(ids[1])
    queue, ran = ["backfill --verify"], []
    while queue:
        options = queue.pop(0)
        ran.append(options)
        assert len(ran) < 10, ran
        cli(options.split())
        if not queue:
            out = capsys.readouterr().out
            queue = [] if out.startswith("Equal") else next_commands(out)
    assert ran[:3] == ["backfill --verify", "repair --duplicates", "backfill --verify"]
    assert ran[-1] == "backfill --verify"
    assert local.differences() == []
    assert len(local.table("users")) == 24


def test_duplicates_stop_neither_a_run_nor_a_prune(local: BackfillSet) -> None:
    """The rows belong to a user at Clerk, or to a user who was deleted."""
    ids = local.sign_up(25)
    local.run()
    local.edit(ids[0], "copy")
    local.edit(ids[1], "copy")
    local.clerk.delete_user(ids[1])
    local.clerk.update_user(ids[0], first_name="New")

    def is_pruned() -> bool:  # On a busy machine Clerk's second answer can be too close to its first one.
        report = local.run(prune=True)
        assert report.ok, report
        return ids[1] not in [row["clerkId"] for row in local.table("users")]

    assert eventually(is_pruned)


def test_the_command_reports_what_it_removes(local: BackfillSet, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = local.sign_up(3)
    local.run()
    local.edit(first, "copy")
    local.edit(first, "copy")
    local.edit(second, "copy")
    assert cli(["repair", "--duplicates", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 users with several rows: 3 rows would be removed, one of each kept.\n")
    assert f"  {first}  2\n" in out
    assert out.endswith("Nothing was written. Next: clerk-convex repair --duplicates\n")
    assert len(local.table("users")) == 6
    assert cli(["repair", "--duplicates"]) == 0
    out = capsys.readouterr().out
    assert "3 rows removed" in out
    assert out.endswith("Next: python -m clerk_convex.backfill --verify\n")
    assert local.differences() == []
    assert cli(["repair", "--duplicates", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dryRun": False, "removed": []}
