"""convex/clerk/audit/log.ts: the log as admins read it. test_functions.py has the writing and pruning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.functions.test_actions import begin, finish
from tests.support.functions import LATER, Caller, Functions, Project, delete, eventually, upsert


@pytest.fixture
def functions(functions: Functions) -> Functions:
    functions.sync(
        [
            upsert("user_admin", role="admin", username="root", source="backfill"),
            upsert("user_1", firstName="Ada", lastName="Lovelace", email="ada@example.com", event_id="msg_1"),
            upsert("user_2", username="grace", email="grace@example.com"),
            upsert("user_1", updated_at=11.0, phone="+15551234567", source="admin", actor="user_admin"),
            upsert("user_3"),
            delete("user_3"),
        ]
    )
    return functions


@pytest.fixture
def admin(functions: Functions) -> Caller:
    return functions.signed_in("user_admin")


def told(pages: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [(entry["outcome"], entry["clerkId"], entry["name"]) for page in pages for entry in page]


EVERYTHING = [
    ("deleted", "user_3", None),
    ("created", "user_3", None),
    ("updated", "user_1", "Ada Lovelace"),
    ("created", "user_2", "grace"),
    ("created", "user_1", "Ada Lovelace"),
]


@pytest.mark.parametrize("size", [2, 100])
def test_newest_first_with_names(admin: Caller, size: int) -> None:
    """Each entry is returned as it was written, with the name of its user while there is a row, in pages."""
    pages = admin.pages("users:auditLog", size)
    assert told(pages) == EVERYTHING
    entry = [entry for page in pages for entry in page][2]
    assert {name: value for name, value in entry.items() if name[0] != "_"} == {
        "outcome": "updated",
        "clerkId": "user_1",
        "fields": ["phone"],
        "source": "admin",
        "actor": "user_admin",
        "name": "Ada Lovelace",
        "actorName": "root",
    }
    assert entry["_creationTime"] > 0


def test_filters_by_user_and_outcome(admin: Caller) -> None:
    for more in ({"clerkId": "user_1"}, {"outcome": "created"}, {"clerkId": "user_1", "outcome": "created"}):
        wanted = [
            (outcome, clerk_id, name)
            for outcome, clerk_id, name in EVERYTHING
            if outcome == more.get("outcome", outcome) and clerk_id == more.get("clerkId", clerk_id)
        ]
        for size in (1, 100):
            assert told(admin.pages("users:auditLog", size, **more)) == wanted
    assert told(admin.pages("users:auditLog", clerkId="user_unknown")) == []
    assert told(admin.pages("users:auditLog", outcome="denied")) == []


def test_rare_outcome_is_found_behind_many_others(functions: Functions, admin: Caller) -> None:
    """Each page looks at so many entries, so one may be empty although more follow. It can be split."""
    functions.sync([upsert("user_2", updated_at=20.0 + n, firstName=f"Grace {n}") for n in range(499)])
    functions.sync([upsert("user_2", updated_at=600.0 + n, firstName=f"Grace {n}") for n in range(101)])
    requests: tuple[dict[str, Any], ...] = ({}, {"clerkId": "user_2"})
    for request in requests:
        pages = admin.pages("users:auditLog", outcome="created", **request)
        assert [[entry["clerkId"] for entry in page] for page in pages] == [
            [],
            ["user_2"] if request else ["user_3", "user_2", "user_1"],
        ]
        updated = admin.pages("users:auditLog", 100, outcome="updated", **request)
        assert [len(page) for page in updated] == [100] * 6 + ([0] if request else [1])
        options = {"numItems": 25, "cursor": None}
        first = admin.query("users:auditLog", {"outcome": "created", **request, "paginationOpts": options})
        end = first["continueCursor"]
        assert admin.until("users:auditLog", end, outcome="created", **request) == []
        before = admin.until("users:auditLog", end, outcome="updated", **request)
        assert 490 <= len(before) <= 500  # the entry at the end of a part is read twice
        assert [it["_id"] for it in before] == [it["_id"] for page in updated for it in page][: len(before)]


def actions(functions: Functions) -> None:
    """Root bans user_1 and creates user_2 again; Grace is denied."""
    functions.sync([upsert("user_grace", firstName="Grace", role="member")])
    ban = begin(functions, "user_admin", "user_1", action="ban")
    functions.sync(
        [replace(upsert("user_1", updated_at=12.0, status="banned", source="admin"), action_id=ban["id"])]
    )
    finish(functions, ban)
    create = begin(functions, "user_admin", action="create")
    finish(functions, create, target="user_9")
    begin(functions, "user_grace", "user_2", action="ban")
    begin(functions, "user_admin", "user_2", action="ban")
    functions.mutation("users:resetUser", {"clerkId": "user_3"})


def found(admin: Caller, size: int = 2, **filters: Any) -> list[tuple[Any, ...]]:
    pages = admin.pages("users:auditLog", size, **filters)
    return [(entry["outcome"], entry.get("clerkId"), entry.get("action")) for page in pages for entry in page]


BAN, CREATE = ("done", "user_1", "ban"), ("done", "user_9", "create")
DENIED, STARTED = ("denied", "user_2", "ban"), ("started", "user_2", "ban")
CHANGE = ("updated", "user_1", None)  # by the admin, from before the change was part of the action


def test_filters_by_actor_action_and_outcome(functions: Functions, admin: Caller) -> None:
    """Each alone and together with the others, in pages of any size."""
    actions(functions)
    for size in (1, 2, 100):
        assert found(admin, size, actor="user_admin") == [STARTED, CREATE, BAN, CHANGE]
        assert found(admin, size, actor="user_grace") == [DENIED]
        assert found(admin, size, actor="user_1") == []
        assert found(admin, size, action="ban") == [STARTED, DENIED, BAN]
        assert found(admin, size, outcome="done") == [CREATE, BAN]
        assert found(admin, size, outcome="denied") == [DENIED]
        assert found(admin, size, outcome="reset") == [("reset", "user_3", None)]
        assert found(admin, size, outcome="updated") == [BAN, CHANGE]  # the ban is an update
        assert found(admin, size, actor="user_admin", action="ban") == [STARTED, BAN]
        assert found(admin, size, action="ban", outcome="done") == [BAN]
        assert found(admin, size, clerkId="user_2", action="ban") == [STARTED, DENIED]
        assert found(admin, size, clerkId="user_2", actor="user_grace", outcome="denied") == [DENIED]
        assert found(admin, size, clerkId="user_1", actor="user_grace") == []
        assert found(admin, size, actor="user_admin", outcome="updated") == [BAN, CHANGE]


def test_change_is_part_of_the_action(functions: Functions, admin: Caller) -> None:
    """One entry, with the fields. Only a change of the action's user is, and only one."""
    actions(functions)
    [[entry]] = admin.pages("users:auditLog", action="ban", outcome="done")
    assert (entry["change"], entry["fields"], entry["name"]) == ("updated", ["status"], "Ada Lovelace")
    done = replace(upsert("user_1", updated_at=13.0, source="admin"), action_id=entry["_id"])
    functions.sync([done])
    other = begin(functions, "user_admin", "user_1", action="update")
    renamed = upsert("user_2", updated_at=13.0, firstName="Amazing", source="admin")
    functions.sync([replace(renamed, action_id=other["id"])])
    assert found(admin, clerkId="user_1")[:2] == [
        ("started", "user_1", "update"),
        ("updated", "user_1", None),
    ]
    assert found(admin, clerkId="user_2")[0] == ("updated", "user_2", None)


def test_action_takes_over_only_its_own_change(functions: Functions, admin: Caller) -> None:
    """Of a webhook that came after its start, and that left the user as the action did."""
    update = begin(functions, "user_admin", "user_1", action="update")
    event = upsert("user_1", updated_at=20.0, firstName="Augusta", event_id="msg_2")
    later = replace(event, updated_at=21.0, event_id="msg_3")

    def by_admin(change: Any, action: Any) -> str:
        done = replace(change, source="admin", event_id=None, observed_at=300.0, action_id=action["id"])
        [outcome] = functions.sync([done])
        return outcome

    functions.sync([event])
    count = len(found(admin, clerkId="user_1"))
    assert by_admin(later, update) == "unchanged"  # a newer version with the same columns: nothing to take
    assert len(found(admin, clerkId="user_1")) == count
    third = begin(functions, "user_admin", "user_1", action="update")
    again = replace(later, updated_at=22.0, columns={**later.columns, "lastName": "King"}, event_id="msg_4")
    functions.sync([again])
    assert by_admin(again, third) == "unchanged"
    [[last, *_]] = admin.pages("users:auditLog", 100, clerkId="user_1")
    assert (last["action"], last["change"], last["eventId"]) == ("update", "updated", "msg_4")
    assert last["fields"] == ["lastName"]
    assert len(found(admin, clerkId="user_1")) == count + 1
    fourth = begin(functions, "user_admin", "user_1", action="update")
    assert by_admin(again, fourth) == "unchanged"  # no webhook since its start
    assert "change" not in admin.pages("users:auditLog", 100, clerkId="user_1")[0][0]


def test_ranges_of_time(functions: Functions, admin: Caller) -> None:
    """The start is inside, the end is not, in each of the lists."""
    actions(functions)
    requests: tuple[dict[str, Any], ...] = (
        *({}, {"clerkId": "user_2"}, {"actor": "user_admin"}, {"action": "ban"}),
        *({"outcome": "created"}, {"outcome": "done"}),
    )
    for request in requests:
        every = [entry for page in admin.pages("users:auditLog", 100, **request) for entry in page]
        ids = [entry["_id"] for entry in every]
        times = [entry["_creationTime"] for entry in every]
        for size in (1, 100):

            def within(size: int = size, request: dict[str, Any] = request, **times: float) -> list[str]:
                pages = admin.pages("users:auditLog", size, **request, **times)
                return [entry["_id"] for page in pages for entry in page]

            assert within(before=times[0]) == ids[1:]
            assert within(**{"from": times[-2]}) == ids[:-1]
            assert within(before=times[0], **{"from": times[-2]}) == ids[1:-1]
            assert within(before=0.0) == within(**{"from": times[0] + 1}) == []


OLDER = """
import { internalMutation } from "./_generated/server";

// As an earlier version has left the tables.
export const forget = internalMutation(async ({ db }) => {
  for (const { _id, entry, requestId } of await db.query("clerkActions").collect()) {
    await db.delete("clerkActions", _id);
    if (requestId === "req_open") await db.insert("clerkActions", { entry, requestId });
  }
  for (const row of await db.query("clerkAudit").collect()) {
    const outcome = row.outcome ?? "created";
    const old = { outcome, source: row.source ?? "webhook", fields: row.fields ?? [] } as const;
    const isUnknown = outcome === "unknown";
    await db.patch("clerkAudit", row._id, isUnknown ? { ...old, outcome: "failed", reason: "unknown" } : old);
  }
});
"""


def test_entries_of_an_earlier_version_are_listed_by_the_daily_job(tmp_path: Path) -> None:
    """In batches, once. Until then they are in the whole log and in that of their user."""
    project = Project(tmp_path)
    project.replace("clerk/audit/older.ts", "const BATCH = 500", "const BATCH = 2")
    project.replace("clerk/admin/actions.ts", "const ABANDONED_MS = 10 * 60 * 1000", "const ABANDONED_MS = 0")
    project.write("older.ts", OLDER)
    project.write("later.ts", LATER)
    with project.running() as functions:
        functions.sync([upsert("user_admin", role="admin")])
        finish(functions, begin(functions, "user_admin", "user_1", action="ban"))
        begin(functions, "user_admin", "user_2", action="lock")
        open_action = begin(functions, "user_admin", "user_3", action="lock", request_id="req_open")
        admin = functions.signed_in("user_admin")
        functions.mutation("older:forget", {})
        locks = [("unknown", "user_2", "lock")]
        assert found(admin, 100, clerkId="user_2") == locks
        assert found(admin, actor="user_admin") == []
        functions.mutation("users:pruneClerkAudit", {})
        every = [("unknown", "user_3", "lock"), *locks, ("done", "user_1", "ban")]
        assert eventually(lambda: found(admin, actor="user_admin") == every)
        assert found(admin, outcome="unknown") == every[:2]
        assert found(admin, action="ban") == every[2:]
        finish(functions, open_action)
        functions.mutation("older:forget", {})
        functions.mutation("users:pruneClerkAudit", {})
        assert found(admin, actor="user_admin") == []  # the job does it once


def test_entry_of_a_backfill_has_no_name(functions: Functions, admin: Caller) -> None:
    """The users that a run created share one entry."""
    run = functions.mutation("users:startBackfill", {"options": "", "restart": False, "holder": "first"})
    progress = {"ranges": [], "counts": {"created": 7}, "failures": []}
    finished = {"id": run["id"], "attempt": run["attempt"], "progress": progress}
    assert functions.mutation("users:finishBackfill", finished) is True
    [[entry, *_]] = admin.pages("users:auditLog", 100)
    assert (entry["outcome"], entry["count"], entry["source"], entry["name"]) == (
        "created",
        7,
        "backfill",
        None,
    )
    assert "clerkId" not in entry


def test_page_is_never_too_long(functions: Functions, admin: Caller) -> None:
    functions.sync([upsert(f"user_x{number}") for number in range(150)])
    page = admin.query("users:auditLog", {"paginationOpts": {"numItems": 1e6, "cursor": None}})
    assert len(page["page"]) == 100


MEASURE = """
import { v } from "convex/values";
import { internalQuery } from "./_generated/server";
import { readAudit } from "./clerk/audit/log";

export const page = internalQuery({
  args: { request: v.any() },
  handler: async (ctx, { request }) => {
    const { page } = await readAudit(ctx, { paginationOpts: { numItems: 25, cursor: null }, ...request });
    const { documentsRead, databaseQueries } = await ctx.meta.getTransactionMetrics();
    return [page.length, documentsRead.used, databaseQueries.used];
  },
});
"""


def test_cost_of_a_page_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """A page reads its entries, and each user that they name once. By an actor it reads a document more for
    each. With a user and an outcome, or with an outcome of changes, it looks at so many entries at most."""
    project = Project(tmp_path)
    project.write("test.ts", MEASURE)
    with project.running() as functions:
        for first, last in ((0, 100), (100, 3000)):
            for start in range(first, last, 500):
                functions.sync([upsert(f"user_{number}") for number in range(start, min(start + 500, last))])
            functions.sync([upsert(updated_at=last + n, firstName=f"Ada {n}") for n in range(60)])
            assert functions.query("test:page", {"request": {}}) == [25, 26, 2]
            for number in range(30):
                done = upsert(f"user_{number}", updated_at=last + 99.0, source="admin", actor="user_2")
                functions.sync([replace(done, columns={**done.columns, "firstName": f"Eve {last}"})])
            # Each entry is of another user; user_2 is the actor, and one of them.
            page, read, queries = functions.query("test:page", {"request": {"actor": "user_2"}})
            assert (page, read, queries) == (25, 25 + 25 + 26, 1 + 25 + 26)
            page, read, _ = functions.query("test:page", {"request": {"outcome": "created"}})
            assert (page, read <= 500 + 25) == (25, True)
            page, read, _ = functions.query("test:page", {"request": {"outcome": "deleted"}})
            assert (page, read <= 500) == (0, True)
            request = {"outcome": "updated", "clerkId": "user_1"}
            assert functions.query("test:page", {"request": request})[0] == 25
            # One of the entries has an actor.
            assert functions.query("test:page", {"request": {"clerkId": "user_1"}}) == [25, 27, 3]
