"""convex/clerk/audit/log.ts: the log as admins read it. test_functions.py has the writing and pruning."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.functions import Caller, Functions, Project, delete, upsert


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


def test_rare_outcome_of_a_user_is_found_behind_many_others(functions: Functions, admin: Caller) -> None:
    """Each page looks at a hundred entries of the user, so one may be empty although more follow."""
    functions.sync([upsert("user_2", updated_at=20.0 + n, firstName=f"Grace {n}") for n in range(120)])

    def sizes(outcome: str) -> list[int]:
        pages = admin.pages("users:auditLog", clerkId="user_2", outcome=outcome)
        return [len(page) for page in pages]

    assert (sizes("created"), sizes("updated")) == ([0, 1], [100, 20])
    options = {"numItems": 25, "cursor": None}
    request = {"clerkId": "user_2", "outcome": "created"}
    end = admin.query("users:auditLog", {**request, "paginationOpts": options})["continueCursor"]
    assert admin.until("users:auditLog", end, **request) == []
    assert len(admin.until("users:auditLog", end, clerkId="user_2", outcome="updated")) == 100


def test_entry_of_a_backfill_has_no_name(functions: Functions, admin: Caller) -> None:
    """The users that a run created share one entry."""
    run = functions.mutation("users:startBackfill", {"options": "", "restart": False})
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
    """A page reads its entries, and each user that they name once. With a user and an outcome it reads a
    hundred entries of the user at most."""
    project = Project(tmp_path)
    project.write("test.ts", MEASURE)
    with project.running() as functions:
        for first, last in ((0, 100), (100, 3000)):
            for start in range(first, last, 500):
                functions.sync([upsert(f"user_{number}") for number in range(start, min(start + 500, last))])
            functions.sync([upsert(updated_at=last + n, firstName=f"Ada {n}") for n in range(60)])
            assert functions.query("test:page", {"request": {}}) == [25, 26, 2]
            assert functions.query("test:page", {"request": {"outcome": "created"}}) == [25, 50, 26]
            request = {"outcome": "updated", "clerkId": "user_1"}
            found, read, queries = functions.query("test:page", {"request": request})
            assert (found, read, queries) == ((60, 62, 2) if last == 100 else (100, 101, 2))
            assert functions.query("test:page", {"request": {"clerkId": "user_1"}}) == [25, 26, 2]
