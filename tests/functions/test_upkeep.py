"""convex/clerk/upkeep/: refused changes, the status, and a person's data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clerk_convex.entities.changes import Change, SignIn
from tests.support.functions import LATER, Denied, Functions, Project, as_json, delete, upsert

DAY = 24 * 60 * 60.0


def refused(clerk_id: str = "user_1", *, observed_at: float = 100.0, **more: Any) -> dict[str, Any]:
    values = {"source": "webhook", "reason": "why", "count": 1, "observedAt": observed_at}
    return {"clerkId": clerk_id, **values, **more}


def record(functions: Functions, *refusals: dict[str, Any]) -> None:
    functions.mutation("users:recordRefusals", {"refusals": list(refusals)})


def refusals(functions: Functions) -> list[dict[str, Any]]:
    latest: list[dict[str, Any]] = functions.query("users:status", {})["refusals"]["latest"]
    return latest


def told(functions: Functions) -> dict[str, int]:
    return {it["clerkId"]: it["count"] for it in refusals(functions)}


# The ledger


def test_a_refusal_is_one_document_with_the_last_reason_and_a_count(functions: Functions) -> None:
    record(functions, refused(eventId="msg_1"), refused("user_2", reason="x" * 1000))
    record(functions, refused(reason="other", eventId="msg_2", count=3), refused(source="backfill"))
    first, second = refusals(functions)
    assert (first["clerkId"], first["count"], first["reason"], first["source"]) == (
        *("user_1", 5),
        *("why", "backfill"),
    )
    assert "eventId" not in first
    assert first["firstAt"] <= first["lastAt"]
    assert (second["clerkId"], second["reason"]) == ("user_2", "x" * 500)


@pytest.mark.parametrize(
    "change",
    [
        upsert(observed_at=100.0),
        upsert(observed_at=101.0, source="backfill"),
        upsert(updated_at=9.0, observed_at=101.0),  # stale: Convex has a newer one
        delete(observed_at=100.0),
    ],
)
def test_an_accepted_change_of_the_same_time_or_later_ends_the_refusal(
    functions: Functions, change: Any
) -> None:
    functions.sync([upsert(observed_at=50.0), upsert("user_2", observed_at=50.0)])
    record(functions, refused(), refused("user_2"))
    functions.sync([change])
    assert told(functions) == {"user_2": 1}


def test_an_earlier_change_does_not_end_it(functions: Functions) -> None:
    """An event from before, and a sign-in, prove nothing of the refused change."""
    functions.sync([upsert(observed_at=50.0)])
    record(functions, refused())
    sign_in = {"type": "signIn", "clerkId": "user_1", "lastSignInAt": 5.0, "source": "webhook"}
    functions.mutation("users:syncUsers", {"changes": [sign_in]})
    functions.sync([upsert(observed_at=99.0)])
    assert told(functions) == {"user_1": 1}
    functions.sync([upsert(observed_at=99.0), upsert(observed_at=100.0)])
    assert told(functions) == {}


def test_a_dry_run_ends_nothing(functions: Functions) -> None:
    record(functions, refused())
    functions.compare([upsert(observed_at=200.0)])
    assert told(functions) == {"user_1": 1}


def test_a_refusal_that_was_made_good_before_it_arrives_is_not_recorded(functions: Functions) -> None:
    functions.sync([upsert(observed_at=100.0)])
    record(functions, refused(observed_at=100.0), refused("user_2", observed_at=100.0))
    assert told(functions) == {"user_2": 1}
    record(functions, refused(observed_at=0.0))  # the time is not known
    record(functions, refused(observed_at=101.0))
    assert told(functions) == {"user_1": 2, "user_2": 1}


def test_resetting_a_user_ends_the_refusal(functions: Functions) -> None:
    functions.sync([upsert()])
    record(functions, refused(observed_at=300.0))
    assert functions.mutation("users:resetUser", {"clerkId": "user_1"}) is True
    assert told(functions) == {}


def test_too_many_refusals_at_once_are_refused(functions: Functions) -> None:
    with pytest.raises(AssertionError, match="send at most 500"):
        record(functions, *(refused(f"user_{number}") for number in range(501)))


def test_the_ids_are_read_by_page(functions: Functions) -> None:
    record(functions, *(refused(f"user_{number}") for number in range(5)))
    options = {"numItems": 3, "cursor": None}
    first = functions.query("users:refusedUsers", {"paginationOpts": options})
    options["cursor"] = first["continueCursor"]
    second = functions.query("users:refusedUsers", {"paginationOpts": options})
    assert first["page"] + second["page"] == [f"user_{number}" for number in range(5)]


def test_only_admins_read_the_refusals(functions: Functions) -> None:
    functions.sync([upsert("user_admin", role="admin"), upsert("user_eve")])
    record(functions, refused())
    (shown,) = functions.signed_in("user_admin").query("users:refusals")["latest"]
    assert shown.keys() == {"clerkId", "source", "reason", "count", "firstAt", "lastAt"}
    for caller in (functions.signed_in("user_eve"), functions.nobody()):
        with pytest.raises(Denied):
            caller.query("users:refusals")


def test_the_refusal_of_one_user(functions: Functions) -> None:
    """It needs no row. Only admins read it."""
    functions.sync([upsert("user_admin", role="admin"), upsert("user_eve")])
    record(functions, refused("user_1", count=2), refused("user_2", reason="other"))
    admin = functions.signed_in("user_admin")
    found = admin.query("users:refusals", {"clerkId": "user_1"})
    assert (found["count"], found["isMore"]) == (1, False)
    assert [(it["clerkId"], it["reason"], it["count"]) for it in found["latest"]] == [("user_1", "why", 2)]
    none = {"count": 0, "isMore": False, "latest": []}
    assert admin.query("users:refusals", {"clerkId": "user_eve"}) == none
    with pytest.raises(Denied):
        functions.signed_in("user_eve").query("users:refusals", {"clerkId": "user_1"})


OLDER = """
import { internalMutation, internalQuery } from "./_generated/server";

// Removes what earlier versions of the functions did not keep.
export const make = internalMutation(async ({ db }) => {
  for (const { _id } of await db.query("clerkWebhook").collect()) await db.delete("clerkWebhook", _id);
});

// As somebody does in the dashboard.
export const clearLog = internalMutation(async ({ db }) => {
  for (const { _id } of await db.query("clerkAudit").collect()) await db.delete("clerkAudit", _id);
});

export const actions = internalQuery(async ({ db }) => await db.query("clerkActions").collect());
"""


@pytest.fixture(scope="module")
def small_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    """Functions with small numbers, a clock that can be set, and a stricter rule of who is an admin."""
    project = Project(tmp_path_factory.mktemp("upkeep"))
    project.write("later.ts", LATER)
    project.write("older.ts", OLDER)
    project.replace("clerk/upkeep/refusals.ts", "MOST = 10_000", "MOST = 3")
    project.replace("clerk/upkeep/refusals.ts", "BATCH = 1000", "BATCH = 2")
    project.replace("clerk/upkeep/refusals.ts", "COUNTED = 1000", "COUNTED = 4")
    project.replace("clerk/upkeep/refusals.ts", "SHOWN = 20", "SHOWN = 2")
    project.replace("clerk/access.ts", 'user.role === "admin" &&', 'user.role === "admin" && !user.phone &&')
    project.replace("clerk/upkeep/person.ts", "BATCH = 500", "BATCH = 3")
    with project.running() as functions:
        yield functions


@pytest.fixture
def small(small_deployment: Functions) -> Functions:
    small_deployment.clear()
    return small_deployment


def test_the_daily_run_drops_the_oldest_beyond_the_bound(small: Functions) -> None:
    for number in range(9):
        small.later(number, "recordRefusals", {"refusals": [refused(f"user_{number}")]})
    few = small.query("users:status", {})["refusals"]
    assert (few["count"], few["isMore"]) == (4, True)
    assert [it["clerkId"] for it in few["latest"]] == ["user_8", "user_7"]
    for _ in range(5):  # as often as it schedules itself
        small.mutation("users:pruneClerkAudit", {})
    left = small.query("users:refusedUsers", {"paginationOpts": {"numItems": 10, "cursor": None}})["page"]
    assert sorted(left) == ["user_6", "user_7", "user_8"]
    few = small.query("users:status", {})["refusals"]
    assert (few["count"], few["isMore"]) == (3, False)


# The status


def test_the_status_of_an_empty_deployment(functions: Functions) -> None:
    status = functions.query("users:status", {})
    del status["now"]
    assert status == {
        "users": {
            "total": 0,
            "active": 0,
            "banned": 0,
            "deprovisioned": 0,
            "locked": 0,
            "rebuilding": False,
        },
        "hasActiveAdmin": False,
        "lastWebhookAt": None,
        "lastBackfill": None,
        "lastFinishedBackfillAt": None,
        "lastFollow": None,
        "lastVerification": None,
        "refusals": {"count": 0, "isMore": False, "latest": []},
    }


VERIFIED = {
    "users": 3,
    "rows": 2,
    "missing": 1,
    "differing": 0,
    "extra": 0,
    "duplicate": 0,
    "unreadable": 0,
    "unlinked": 0,
}


def test_the_status_says_what_is_there_and_how_fresh_it_is(functions: Functions) -> None:
    functions.sync(
        [
            upsert("user_1", status="banned", role="admin"),
            upsert("user_2", source="backfill"),
            upsert("user_3", role="admin"),
        ]
    )
    start = {"options": "a", "restart": False, "holder": "first"}
    progress = {"ranges": [], "counts": {"created": 1, "failed": 2}, "failures": []}
    functions.mutation("users:saveVerification", {"verified": VERIFIED})  # no run to keep it with
    run = functions.mutation("users:startBackfill", start)
    held = {"id": run["id"], "attempt": 1}
    functions.mutation("users:finishBackfill", {**held, "progress": progress})
    functions.mutation("users:saveVerification", {"verified": VERIFIED})
    functions.mutation("users:startBackfill", {**start, "holder": "second"})
    status = functions.query("users:status", {})
    assert (status["users"]["total"], status["users"]["banned"]) == (3, 1)
    assert status["hasActiveAdmin"] is True
    assert status["now"] - 60_000 < status["lastWebhookAt"] <= status["now"]
    assert (status["lastBackfill"]["finishedAt"], status["lastBackfill"]["counts"]) == (None, {})
    assert status["lastFinishedBackfillAt"] <= status["lastVerification"].pop("at")
    assert status["lastVerification"] == VERIFIED
    functions.sync([delete("user_3")])
    assert functions.query("users:status", {})["hasActiveAdmin"] is False


def test_only_the_teams_own_rule_makes_an_admin(small: Functions) -> None:
    small.sync([upsert("user_1", role="admin", phone="+1555")])
    assert small.query("users:status", {})["hasActiveAdmin"] is False
    small.sync([upsert("user_2", role="admin")])
    assert small.query("users:status", {})["hasActiveAdmin"] is True


def test_time_of_the_last_webhook_is_written_once_a_minute(small: Functions) -> None:
    """It is the time of one that changed a row, also by a sign-in. Other sources and late events do not
    count."""

    def last() -> float | None:
        at: float | None = small.query("users:lastWebhookAt", {})
        assert small.query("users:status", {})["lastWebhookAt"] == at
        return at

    def later(seconds: float, change: Change) -> float | None:
        small.later(seconds, "syncUsers", {"changes": [as_json(change)]})
        return last()

    assert later(0, upsert(source="backfill")) is None
    assert later(0, upsert(updated_at=9.0, firstName="stale")) is None
    first = later(0, upsert(updated_at=11.0, firstName="Ada"))
    assert first is not None
    assert later(55, upsert(updated_at=12.0, firstName="Grace")) == first
    assert later(61, upsert(updated_at=13.0, firstName="Grace", source="backfill")) == first
    assert later(61, upsert(updated_at=13.0, firstName="Grace")) == first  # nothing new
    second = later(61, SignIn("user_1", 5.0, "webhook"))
    assert second is not None
    assert second >= first + 60_000
    third = later(122, delete())
    assert third is not None
    assert third >= second + 60_000


def test_time_of_the_last_webhook_before_it_was_kept(small: Functions) -> None:
    """After an upgrade it is that of the newest entry of a webhook among the latest of the audit log."""
    small.sync([upsert()])
    small.sync([upsert(f"user_{number}", source="manual") for number in range(2, 101)])
    small.mutation("older:make", {})
    assert small.query("users:lastWebhookAt", {}) is not None
    small.sync([upsert("user_101", source="manual")])
    assert small.query("users:lastWebhookAt", {}) is None


# A person


def export(functions: Functions, clerk_id: str) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    stored, entries, calls, cursor = None, [], 0, None
    while calls == 0 or cursor is not None:
        part = functions.query("users:exportPerson", {"clerkId": clerk_id, "cursor": cursor})
        assert (part["stored"] is not None) == (calls == 0)
        stored, cursor, calls = part["stored"] or stored, part["cursor"], calls + 1
        entries += part["entries"]
    assert stored is not None
    return stored, entries, calls


def forget(functions: Functions, clerk_id: str) -> tuple[dict[str, int], int]:
    erased: dict[str, int] = {}
    calls, cursor = 0, None
    while calls == 0 or cursor is not None:
        arguments = {"clerkId": clerk_id, "pseudonym": "forgotten_1", "cursor": cursor}
        part = functions.mutation("users:forgetPerson", arguments)
        cursor, calls = part.pop("cursor"), calls + 1
        erased = {name: int(count) + erased.get(name, 0) for name, count in part.items()}
    return erased, calls


def fill(functions: Functions) -> None:
    """Ada, an admin, has eight entries as subject; of six as actor, one is also about her."""
    functions.sync([upsert("user_ada", role="admin", email="ada@example.com", event_id="msg_1")])
    functions.sync(
        [upsert("user_ada", updated_at=20.0 + n, role="admin", firstName=f"Ada {n}") for n in range(6)]
    )
    # The action is recorded before the changes that it makes.
    action = {"actor": "user_ada", "action": "ban", "target": "user_bob", "requestId": "req_1"}
    assert functions.mutation("users:beginAction", action)["allowed"]
    own = upsert("user_ada", updated_at=30.0, source="admin", role="admin", actor="user_ada", lastName="L")
    functions.sync([own])
    for number in range(5):
        functions.sync([upsert(f"user_{number}", source="admin", actor="user_ada", role="admin")])
    functions.sync([upsert("user_bob", source="admin", actor="user_0", event_id="msg_2")])
    record(functions, refused("user_ada", observed_at=1000.0), refused("user_bob", observed_at=1000.0))
    run = functions.mutation("users:startBackfill", {"options": "a", "restart": False, "holder": "first"})
    place = {"createdAt": 1, "id": "user_ada"}
    ranges = [{"after": None, "before": None, "position": place, "done": False}]
    failures = [{"clerkId": name, "reason": "why"} for name in ("user_ada", "user_bob")]
    progress = {"ranges": ranges, "counts": {"failed": 2}, "failures": failures}
    held = {"id": run["id"], "attempt": 1}
    functions.mutation("users:saveBackfill", {**held, "progress": progress, "release": True})
    other = functions.mutation("users:startBackfill", {"options": "b", "restart": False, "holder": "second"})
    held = {"id": other["id"], "attempt": 1}
    functions.mutation("users:finishBackfill", {**held, "progress": {**progress, "failures": []}})


def test_the_export_has_everything_of_a_person_and_nothing_of_another(small: Functions) -> None:
    fill(small)
    stored, entries, calls = export(small, "user_ada")
    (row,) = stored["rows"]
    assert (row["clerkId"], row["role"]) == ("user_ada", "admin")
    assert (row["clerkStamp"], stored["version"]) == ([30, 100], None)
    assert stored["refusal"]["reason"] == "why"
    assert [(it["reasons"], it["isPosition"]) for it in stored["backfills"]] == [(["why"], True), ([], True)]
    assert len(entries) == len({it["_id"] for it in entries}) == 8 + 6
    assert all("user_ada" in (it.get("clerkId"), it.get("actor")) for it in entries)
    assert calls > 4  # in parts


def test_the_export_of_nobody_is_empty(small: Functions) -> None:
    fill(small)
    stored, entries, _ = export(small, "user_nobody")
    assert stored == {"rows": [], "version": None, "refusal": None, "backfills": []}
    assert entries == []


def test_forgetting_a_person_leaves_the_tombstone_and_a_pseudonym(small: Functions) -> None:
    fill(small)
    count = len(small.signed_in("user_0").pages("users:auditLog", 100)[0])
    erased, calls = forget(small, "user_ada")
    assert erased == {
        "rows": 1,
        "refusals": 1,
        "backfills": 2,
        "entries": 8 + 6 + 1,
        "hasTombstone": calls,
    }
    stored, entries, _ = export(small, "user_ada")
    assert entries == []
    assert (stored["rows"], stored["refusal"]) == ([], None)
    assert stored["version"]["deletedAt"] == stored["version"]["observedAt"]
    # The run that is not finished keeps its position: it is resumed there.
    assert [(it["reasons"], it["isPosition"]) for it in stored["backfills"]] == [([], True)]

    (page,) = small.signed_in("user_0").pages("users:auditLog", 100)
    assert len(page) == count + 1  # the deletion
    assert "user_ada" not in str(page)
    assert "req_1" not in str(page)
    assert "msg_1" not in str(page)
    assert "msg_2" in str(page)
    (ban,) = (it for it in page if it.get("action") == "ban")
    assert (ban["actor"], ban["clerkId"]) == ("forgotten_1", "user_bob")
    assert told(small) == {"user_bob": 1}
    assert small.sync([upsert("user_ada", updated_at=99.0, observed_at=9e12)]) == ["tombstoned"]


def test_the_whole_log_is_read_only_until_all_actors_are_listed(small: Functions) -> None:
    """The log may be long. The daily job lists the actors of an earlier version's entries."""
    fill(small)
    small.sync([upsert(f"user_many{number}") for number in range(30)])
    assert export(small, "user_nobody")[2] > 10
    _, before, _ = export(small, "user_ada")
    small.mutation("users:pruneClerkAudit", {})
    lists = 2  # the entries about the person, and those by the person
    assert export(small, "user_nobody")[2] == forget(small, "user_nobody")[1] == lists
    _, entries, calls = export(small, "user_ada")
    assert lists < calls < 10
    assert {it["_id"] for it in entries} == {it["_id"] for it in before}


def test_a_stopped_erasure_is_completed_by_the_next(small: Functions) -> None:
    """Wherever it was stopped."""
    fill(small)
    _, calls = forget(small, "user_ada")
    for stop in range(1, calls):
        small.clear()
        fill(small)
        cursor = None
        for _ in range(stop):
            arguments = {"clerkId": "user_ada", "pseudonym": "forgotten_1", "cursor": cursor}
            cursor = small.mutation("users:forgetPerson", arguments)["cursor"]
        forget(small, "user_ada")
        assert "user_ada" not in str(small.signed_in("user_0").pages("users:auditLog", 100))


def test_forgetting_ends_where_the_log_was_cleared(small: Functions) -> None:
    """Documents of clerkActions whose entry is gone still name the admin. They are deleted."""
    small.sync([upsert("user_ada", role="admin"), upsert("user_eve", role="admin")])
    for number in range(10):
        arguments = {"actor": "user_ada", "action": "list", "requestId": f"req_{number}"}
        small.mutation("users:beginAction", arguments)
    small.mutation("users:pruneClerkAudit", {})  # from then on the actors are listed
    small.mutation("older:clearLog", {})
    erased, _ = forget(small, "user_ada")
    assert erased["entries"] == 1  # the deletion of the row
    assert "user_ada" not in str(small.query("older:actions", {}))


def test_forgetting_twice_or_nobody_does_nothing(small: Functions) -> None:
    fill(small)
    nothing = {"rows": 0, "refusals": 0, "backfills": 0, "entries": 0}
    erased, _ = forget(small, "user_nobody")
    assert erased == {**nothing, "hasTombstone": 0}
    stored, _, _ = export(small, "user_nobody")
    assert stored["version"] is None  # no tombstone of an id that never was
    forget(small, "user_ada")
    erased, calls = forget(small, "user_ada")
    # The position of the run that is not finished is found again.
    assert erased == {**nothing, "backfills": 1, "hasTombstone": calls}


def test_a_refused_deletion_forgets_nothing(tmp_path: Path) -> None:
    """The team's own cascade runs in the same transaction."""
    project = Project(tmp_path)
    project.replace(
        "clerk/onUserChange.ts",
        "change: UserChange): Promise<void> {}",
        "change: UserChange): Promise<void> { if (change.outcome === 'deleted') throw new Error('no'); }",
    )
    with project.running() as functions:
        functions.sync([upsert()])
        record(functions, refused(observed_at=1000.0))
        with pytest.raises(AssertionError):
            forget(functions, "user_1")
        assert functions.rows().keys() == {"user_1"}
        assert told(functions) == {"user_1": 1}
