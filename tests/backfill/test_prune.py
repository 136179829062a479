"""Pruning: no user is deleted who may still exist."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clerk_convex.clerk.api import Clerk, Page
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk.objects import new_event, to_json
from clerk_convex.webhook.events import Ignored
from tests.support.backfill_set import BackfillSet, hasty
from tests.support.clerk_events import read_event
from tests.support.functions import Functions, Project, upsert


def add_ghosts(local: BackfillSet, count: int, name: str = "a") -> list[str]:
    """Add rows of users that Clerk does not have, as if no webhook had announced their deletion."""
    ids = [f"user_ghost_{name}{number}" for number in range(count)]
    local.functions.sync([upsert(user_id) for user_id in ids])
    return ids


def test_rows_without_a_user_are_removed(local: BackfillSet) -> None:
    """No other row is removed, over several calls of a hundred ids."""
    ids = local.sign_up(350)
    add_ghosts(local, 5)
    report = local.run(prune=True)
    assert report.pruning is not None
    assert (report.pruning.rows, report.pruning.absent, report.pruning.deleted) == (355, 5, 5)
    assert "5 of 355 rows pruned" in str(report)
    assert set(local.functions.rows()) == set(ids)


def test_a_user_who_was_pruned_by_mistake_comes_back(local: BackfillSet) -> None:
    """A prune only concludes that the user was deleted: the user's next change lifts its tombstone."""
    (user_id,) = add_ghosts(local, 1)
    local.run(prune=True)
    assert local.functions.rows() == {}
    later = upsert(user_id, observed_at=time.time() * 1000 + 5000)
    assert local.functions.sync([later]) == ["created"]


def test_a_late_event_of_the_last_moment_does_not_bring_the_row_back(functions: Functions) -> None:
    """The user was changed and deleted within a second before the prune, and the event of the change arrives
    later. It finds a newer tombstone. This test keeps the pauses that the other tests leave out."""
    with LocalClerk(rate_limit=0) as clerk:
        local = BackfillSet(clerk, functions)
        kept, gone = local.sign_up(2)
        local.run()
        event = new_event("user.updated", clerk.update_user(gone, first_name="Late"), "ins_1", 0)
        clerk.delete_user(gone)
        event["timestamp"] = int(time.time() * 1000)
        report = local.run(prune=True)
        assert report.pruning is not None
        assert report.pruning.deleted == 1
        late = read_event(to_json(event).encode())
        assert not isinstance(late, Ignored)
        assert functions.sync([late]) == ["tombstoned"]
        assert list(functions.rows()) == [kept]


@pytest.mark.parametrize("yes", [False, True])
def test_an_empty_list_by_mistake_deletes_nobody(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, yes: bool
) -> None:
    """Clerk lists no user by mistake. Each absent user is asked for by id, and found."""
    ids = local.sign_up(30)
    local.run()

    async def nobody(self: Clerk, ids: Sequence[str]) -> set[str]:
        return set()

    monkeypatch.setattr(Clerk, "existing", nobody)
    report = local.run(prune=True, yes=yes)
    assert report.pruning is not None
    assert report.pruning.absent == 30
    assert report.pruning.deleted == 0
    assert set(local.functions.rows()) == set(ids)
    assert report.ok is yes  # without --yes the report says that nothing was pruned


def test_a_large_prune_needs_the_option_yes(local: BackfillSet) -> None:
    """More than ten rows, or 5 % of all rows if that is more, are not pruned without --yes. The report says
    how to continue."""
    ids = local.sign_up(19)
    add_ghosts(local, 11)
    report = local.run(prune=True)
    assert report.pruning is not None
    assert report.pruning.refused
    assert not report.ok
    assert "--prune --yes" in str(report)
    assert len(local.functions.rows()) == 30

    report = local.run(prune=True, yes=True)
    assert report.pruning is not None
    assert report.pruning.deleted == 11
    assert report.ok
    assert set(local.functions.rows()) == set(ids)


def test_ten_rows_or_five_percent_are_pruned_without_yes(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.sign_up(19)
    add_ghosts(local, 10)
    assert local.run(prune=True).ok
    monkeypatch.setattr("clerk_convex.backfill.run._PRUNED_ROWS", 0)
    add_ghosts(local, 1, "b")  # one of twenty
    assert local.run(prune=True).ok
    add_ghosts(local, 2, "c")
    assert not local.run(prune=True).ok


def test_a_sign_up_during_the_run_is_not_pruned(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither if the row was written after the list was read, nor if the row is newer than Clerk's 404."""
    local.sign_up(3)
    local.run()
    genuine = Clerk.existing

    async def and_a_sign_up(self: Clerk, ids: Sequence[str]) -> set[str]:
        found = await genuine(self, ids)
        local.functions.sync([upsert("user_new", observed_at=time.time() * 1000)])
        return found

    monkeypatch.setattr(Clerk, "existing", and_a_sign_up)
    assert local.run(prune=True).ok
    assert "user_new" in local.functions.rows()

    # Now it is in the list of rows, and Clerk has no such user, but the row is newer than that answer.
    newer = time.time() * 1000 + 60_000
    local.functions.sync([upsert("user_new", updated_at=newer, observed_at=newer, firstName="New")])
    report = local.run(prune=True)
    assert report.pruning is not None
    assert (report.pruning.absent, report.pruning.deleted) == (1, 0)
    assert "1 that Clerk does not list stay" in str(report)
    assert "user_new" in local.functions.rows()


def test_a_prune_that_convex_refuses_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A team's own logic may refuse a deletion. The user is reported, and the others are pruned."""
    hasty(monkeypatch)
    project = Project(tmp_path)
    refusal = 'if (change.outcome === "deleted" && change.clerkId.endsWith("a0")) throw new Error("no");'
    project.replace("clerk/onUserChange.ts", "Promise<void> {}", f"Promise<void> {{ {refusal} }}")
    with project.running() as functions, LocalClerk(rate_limit=0) as clerk:
        local = BackfillSet(clerk, functions)
        ghosts = add_ghosts(local, 2)
        report = local.run(prune=True)
        assert {failure.clerk_id for failure in report.failures} == {ghosts[0]}
        assert report.pruning is not None
        assert report.pruning.deleted == 1
        assert not report.ok
        assert set(functions.rows()) == {ghosts[0]}


def test_ids_are_asked_for_a_hundred_at_a_time(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of the call is a hundred too. With Clerk's default of ten the other users would look
    absent."""
    local.sign_up(250)
    local.run()
    asked: list[tuple[int, int]] = []
    genuine = Clerk.list_users

    async def note(self: Clerk, **question: Any) -> Page:
        if question.get("user_id"):
            asked.append((question["limit"], len(question["user_id"])))
        return await genuine(self, **question)

    monkeypatch.setattr(Clerk, "list_users", note)
    local.run(prune=True)
    assert sorted(asked) == [(100, 50), (100, 100), (100, 100)]
