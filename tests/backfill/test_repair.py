"""clerk_convex/backfill/repair.py, and what a run records of refused users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from clerk_convex.backfill import backfill, repair_users, verify
from clerk_convex.settings import Settings
from tests.support.backfill_set import Then
from tests.support.backfill_wire import Request, Wire, failure
from tests.support.virtual_time import run


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def sign_up(wire: Wire, count: int) -> list[str]:
    return [wire.clerk.create_user(username=f"user{number}")["id"] for number in range(count)]


def refuse(wire: Wire, *clerk_ids: str) -> None:
    """Let Convex refuse each call with a change of one of these users."""

    def answer(request: Request) -> httpx.Response | None:
        changes = request.args.get("changes", []) if isinstance(request.args, dict) else []
        return failure() if any(change["clerkId"] in clerk_ids for change in changes) else None

    wire.answer = answer


def failing_for(wire: Wire, clerk_id: str) -> Settings:
    """Return settings whose CLERK_CONVEX_FIELDS cannot read one user."""

    def fields(user: Mapping[str, Any]) -> Mapping[str, Any]:
        if user["id"] == clerk_id:
            raise ValueError("secret")
        return {}

    return wire.settings.model_copy(update={"clerk_convex_fields": fields})


def written(wire: Wire) -> list[dict[str, Any]]:
    return [change for request in wire.asked("syncUsers") for change in request.args["changes"]]


# Repair


def test_the_named_users_are_written_and_no_other(wire: Wire) -> None:
    """A hundred are read in a call. The change is one by hand, so the audit log has an entry for each."""
    ids = sign_up(wire, 150)
    wire.rows = [{"clerkId": ids[0], "username": "old"}]
    repaired = run(repair_users([*ids[:120], ids[0]], wire.settings))
    assert repaired.ok
    assert list(repaired.outcomes) == ids[:120]
    assert (repaired.outcomes[ids[0]], repaired.outcomes[ids[1]]) == ("updated", "created")
    assert {row["clerkId"] for row in wire.rows} == set(ids[:120])
    assert {change["source"] for change in written(wire)} == {"manual"}
    assert len(wire.asked("/users")) == 2


def test_a_user_whom_clerk_does_not_have_is_deleted_after_two_404(wire: Wire) -> None:
    """As a prune concludes it, so that a later change of the user lifts the tombstone."""
    wire.rows = [{"clerkId": "user_gone"}]
    repaired = run(repair_users(["user_gone"], wire.settings))
    assert repaired.outcomes == {"user_gone": "deleted"}
    assert wire.rows == []
    assert [deletion["source"] for deletion in wire.deletions] == ["backfill"]
    asked = wire.asked("/users/user_gone")
    assert len(asked) == 3
    assert asked[2].at - asked[1].at >= 5.0


def test_a_mistyped_id_writes_nothing(wire: Wire) -> None:
    """Neither Clerk nor Convex has it, and its neighbour is repaired."""
    (known,) = sign_up(wire, 1)
    repaired = run(repair_users(["user_mistyped", known], wire.settings))
    assert repaired.outcomes == {known: "created"}
    assert [(failure.clerk_id, failure.reason) for failure in repaired.failures] == [
        ("user_mistyped", "Neither Clerk nor Convex has this user. Is the id right?")
    ]
    assert wire.deletions == []


def test_a_user_whose_end_is_not_certain_stays(wire: Wire) -> None:
    """Without a date Clerk's two answers cannot be told apart."""
    wire.rows = [{"clerkId": "user_gone"}]
    wire.skew = lambda: None
    repaired = run(repair_users(["user_gone"], wire.settings))
    assert not repaired.ok
    ((clerk_id, reason),) = [(it.clerk_id, it.reason) for it in repaired.failures]
    assert (clerk_id, "did not confirm" in reason) == ("user_gone", True)
    assert len(wire.rows) == 1


def test_a_user_whom_clerk_does_not_list_but_has_is_written(wire: Wire) -> None:
    (clerk_id,) = sign_up(wire, 1)
    wire.answer = lambda request: httpx.Response(200, json=[]) if request.what == "/users" else None
    repaired = run(repair_users([clerk_id], wire.settings))
    assert repaired.outcomes == {clerk_id: "created"}


def test_the_refused_ones_are_read_from_the_ledger_by_page(wire: Wire) -> None:
    ids = sign_up(wire, 6)
    wire.refusals = [{"clerkId": clerk_id} for clerk_id in ids[:5]]
    repaired = run(repair_users(settings=wire.settings))
    assert list(repaired.outcomes) == ids[:5]
    assert len(wire.asked("refusedUsers")) == 3
    wire.refusals = []
    nothing = run(repair_users(settings=wire.settings))
    assert str(nothing) == "No user has a refused change."
    assert nothing.ok


def test_a_dry_run_writes_nothing(wire: Wire) -> None:
    (bad, good) = sign_up(wire, 2)
    refuse(wire, bad)
    wire.rows = [{"clerkId": "user_gone"}]
    repaired = run(repair_users([bad, good, "user_gone"], wire.settings, dry_run=True))
    assert repaired.outcomes == {good: "created", "user_gone": "deleted"}
    assert {request.kind for request in wire.requests if request.side == "Convex"} == {"query"}
    text = str(repaired)
    assert f"{good}  would be created\n" in text
    assert text.endswith("Nothing was written.")
    assert wire.refusals == []


def test_a_user_that_is_still_refused_fails_alone_and_is_recorded(wire: Wire) -> None:
    """By Convex, or because the user cannot be read."""
    bad, unreadable, good = sign_up(wire, 3)
    refuse(wire, bad)
    repaired = run(repair_users([bad, unreadable, good], failing_for(wire, unreadable)))
    assert not repaired.ok
    assert repaired.outcomes == {good: "created"}
    assert sorted(it.clerk_id for it in repaired.failures) == sorted([bad, unreadable])
    assert {(it["clerkId"], it["source"]) for it in wire.refusals} == {
        (bad, "manual"),
        (unreadable, "manual"),
    }
    assert all(it["observedAt"] > 0 for it in wire.refusals)
    assert repaired.to_json()["users"][0] == {"clerkId": good, "outcome": "created"}
    assert {user["clerkId"] for user in repaired.to_json()["users"][1:]} == {bad, unreadable}
    assert f"{bad}  failed: Convex refused" in str(repaired)


# What a run records


def test_a_backfill_records_whom_it_could_not_write(wire: Wire) -> None:
    bad, unreadable, good = sign_up(wire, 3)
    refuse(wire, bad)
    settings = failing_for(wire, unreadable)
    report = run(backfill(settings))
    assert report.counts["failed"] == 2
    assert {(it["clerkId"], it["source"]) for it in wire.refusals} == {
        (bad, "backfill"),
        (unreadable, "backfill"),
    }
    assert [row["clerkId"] for row in wire.rows] == [good]
    wire.refusals = []
    run(backfill(settings, dry_run=True))
    assert wire.refusals == []


def test_functions_without_a_ledger_do_not_stop_a_backfill(wire: Wire) -> None:
    """It is said once, and not asked again."""
    ids = sign_up(wire, 3)
    refuse(wire, ids[0])
    usual = wire.answer

    def answer(request: Request) -> Any:
        missing = failure("Could not find public function for 'users:recordRefusals'.")
        return missing if request.what == "recordRefusals" else usual(request)

    wire.answer = answer
    report = run(backfill(wire.settings))
    assert report.counts["failed"] == 1
    assert report.error is None
    assert len(wire.rows) == 2


def test_only_a_comparison_that_saves_writes(wire: Wire) -> None:
    ids = sign_up(wire, 2)
    run(repair_users(ids[:1], wire.settings))
    wire.requests = []
    run(verify(wire.settings))
    assert {request.kind for request in wire.requests if request.side == "Convex"} == {"query"}
    run(verify(wire.settings, save=True))
    assert wire.verified == {
        "users": 2,
        "rows": 1,
        "missing": 1,
        "differing": 0,
        "extra": 0,
        "duplicate": 0,
        "unreadable": 0,
        "unlinked": 0,
    }


def test_a_comparison_that_cannot_be_saved_is_still_one(wire: Wire) -> None:
    """By functions that do not know it, for example. It is noted."""
    missing = failure("Could not find public function for 'users:saveVerification'.")
    wire.answer = lambda request: missing if request.what == "saveVerification" else None
    progress = Then(0, None)
    assert run(verify(wire.settings, save=True, on_progress=progress)).equal
    (note,) = progress.notes
    assert note.startswith("The numbers of the comparison are not kept in Convex: ")
