"""convex/clerk/order/duplicates.ts: several rows of one user, from an older table or written by hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clerk_convex.entities.changes import Change, SignIn
from tests.support.functions import CREATED_AT, Functions, Project, delete, upsert

TEST_FUNCTIONS = """
import { v } from "convex/values";
import { internalMutation, internalQuery } from "./_generated/server";
import { entryOf } from "./clerk/audit/entries";
import { readUnfolded } from "./clerk/users/totals";

export const insert = internalMutation({
  args: { rows: v.array(v.any()) },
  handler: async (ctx, { rows }) => {
    const ids = [];
    for (const row of rows) {
      const required = { status: "active", createdAt: 1, sortName: "", searchText: "" };
      ids.push(await ctx.db.insert("users", { ...required, ...row }));
    }
    return ids;
  },
});

export const insertVersion = internalMutation({
  args: { clerkId: v.string() },
  handler: (ctx, { clerkId }) => ctx.db.insert("clerkVersions", { clerkId, updatedAt: 1, observedAt: 1 }),
});

export const all = internalQuery({
  args: {},
  handler: async (ctx) => {
    const counts: Record<string, number> = {};
    const state = (await ctx.db.query("clerkStatsState").unique()) ?? { generation: 0 };
    const { changes } = await readUnfolded(ctx, state, state.generation);
    const documents = await ctx.db.query("clerkStats").collect();
    for (const some of [...documents.map((it) => it.counts), Object.fromEntries(changes)]) {
      for (const [name, count] of Object.entries(some)) counts[name] = (counts[name] ?? 0) + count;
    }
    const audit = await ctx.db.query("clerkAudit").collect();
    const versions = (await ctx.db.query("clerkVersions").collect()).length;
    const rows = audit.map(entryOf).map(({ outcome, clerkId, fields }) => [outcome, clerkId, fields]);
    return { counts, versions, audit: rows };
  },
});
"""

HOOK = """
import type { MutationCtx } from "../_generated/server";
import type { UserChange as Change } from "./onUserChange";
export async function onUserChange(ctx: MutationCtx, { outcome, clerkId, userId, before, source }: Change) {
  const id = before === null ? null : (before as any).note;
  console.log([outcome, clerkId, id, userId === before?._id, source].join(" "));
}
"""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.write("test.ts", TEST_FUNCTIONS)
    project.replace("clerk/order/duplicates.ts", "const SCANNED = 500", "const SCANNED = 5")
    project.replace(
        "clerk/tables.ts",
        "    clerkId: v.string(),\n    ...requiredColumns",
        "    note: v.optional(v.string()),\n    theme: v.optional(v.string()),\n"
        "    clerkId: v.string(),\n    ...requiredColumns",
    )
    for name in ("sync.ts", "duplicates.ts"):
        project.replace(
            f"clerk/order/{name}",
            'import { onUserChange } from "../onUserChange";',
            'import { onUserChange } from "../hook";',
        )
    project.write("clerk/hook.ts", HOOK)
    with project.running() as functions:
        yield functions


@pytest.fixture
def functions(deployment: Functions) -> Functions:
    """An admin, and three rows of one user. The second row has the role admin."""
    deployment.clear()
    deployment.sync([upsert("user_admin", role="admin")])
    deployment.mutation(
        "test:insert",
        {
            "rows": [
                {
                    "clerkId": "user_1",
                    "email": "a@example.com",
                    "note": "one",
                    "lastSignInAt": 5,
                    "phone": "+1",
                },
                {
                    "clerkId": "user_1",
                    "email": "b@example.com",
                    "note": "two",
                    "role": "admin",
                    "theme": "dark",
                },
                {"clerkId": "user_1", "lastSignInAt": 9, "theme": "light", "sortEmail": "x", "note": "three"},
            ]
        },
    )
    deployment.mutation("users:rebuildStats", {})
    return deployment


def rows_of(functions: Functions, clerk_id: str = "user_1") -> list[dict[str, Any]]:
    rows = [row for row in functions.all_rows() if row["clerkId"] == clerk_id]
    return [{name: value for name, value in row.items() if name[0] != "_"} for row in rows]


def all_duplicates(functions: Functions) -> list[str]:
    found: list[str] = []
    cursor = None
    for _ in range(1000):
        answer = functions.query("users:findDuplicates", {"cursor": cursor})
        found += answer["clerkIds"]
        cursor = answer["cursor"]
        if cursor is None:
            return found
    raise AssertionError("no end")


def assert_counts_equal_rows(functions: Functions) -> None:
    counts = functions.query("test:all", {})["counts"]
    statuses = [row["status"] for row in functions.all_rows()]
    for status in ("active", "banned"):
        assert counts.get(status, 0) == statuses.count(status)


def log_lines(functions: Functions, path: str, arguments: dict[str, Any]) -> list[str]:
    answer = functions.http.post(
        "/api/mutation", json={"path": path, "args": arguments, "format": "json"}
    ).json()
    assert answer["status"] == "success", answer
    return [line.removeprefix("[LOG] ").strip("'") for line in answer["logLines"]]


def test_events_go_to_the_oldest_row(functions: Functions) -> None:
    """No function fails, and every function uses the same row of the user."""
    changes: list[Change] = [
        upsert(firstName="Ada"),
        upsert(updated_at=11.0, firstName="Grace"),
        SignIn("user_1", 20.0, "webhook"),
    ]
    assert functions.compare(changes) == ["created", "updated", "updated"]
    assert functions.sync(changes) == ["created", "updated", "updated"]
    first, second, third = rows_of(functions)
    assert (first["firstName"], first["email"], first["lastSignInAt"]) == ("Grace", "a@example.com", 20.0)
    assert ("firstName" in second, "firstName" in third) == (False, False)
    assert_counts_equal_rows(functions)
    admin = functions.signed_in("user_admin")
    assert admin.query("users:getUser", {"clerkId": "user_1"})["firstName"] == "Grace"
    assert len(admin.pages("users:getUsers")[0]) == 4
    assert len(admin.pages("users:getUsers", search="user_1")[0]) == 3
    assert {row["name"] for row in admin.pages("users:auditLog", clerkId="user_1")[0]} == {"Grace"}
    me = functions.signed_in("user_1").query("users:currentUser")
    assert (me["user"]["firstName"], me["isAdmin"]) == ("Grace", False)


def test_second_row_cannot_make_an_admin(functions: Functions) -> None:
    """It counts neither in a query nor as an admin who remains."""
    attempt = {"action": "ban", "requestId": "1"}
    answer = functions.mutation("users:beginAction", {"actor": "user_1", "target": "user_admin", **attempt})
    assert (answer["allowed"], answer["reason"]) == (False, "not_admin")
    functions.sync([upsert("user_2", role="admin")])
    first = functions.mutation("users:beginAction", {"actor": "user_2", "target": "user_admin", **attempt})
    assert first["allowed"] is True
    answer = functions.mutation("users:beginAction", {"actor": "user_admin", "target": "user_2", **attempt})
    assert (answer["allowed"], answer["reason"]) == (False, "last_admin")


@pytest.mark.parametrize("source", ["webhook", "backfill"])
def test_deletion_removes_all_rows(functions: Functions, source: Any) -> None:
    """If one stayed, it would be the user's row from then on."""
    change = delete(source=source)
    assert functions.compare([change, change]) == ["deleted", "unchanged"]
    assert functions.sync([change]) == ["deleted"]
    assert rows_of(functions) == []
    assert_counts_equal_rows(functions)
    assert functions.query("test:all", {})["audit"][-1] == ["deleted", "user_1", []]
    me = functions.signed_in("user_1").query("users:currentUser")
    assert me["state"] == "deleted"


def test_hook_is_called_for_each_deleted_row(functions: Functions) -> None:
    lines = log_lines(functions, "users:deleteUser", {"clerkId": "user_1"})
    assert lines == [f"deleted user_1 {note} true manual" for note in ("one", "two", "three")]


def test_reset_removes_all_rows(functions: Functions) -> None:
    for _ in range(2):
        functions.mutation("test:insertVersion", {"clerkId": "user_1"})
    assert functions.mutation("users:resetUser", {"clerkId": "user_1"}) is True
    assert functions.mutation("users:resetUser", {"clerkId": "user_1"}) is False
    assert rows_of(functions) == []
    assert functions.query("test:all", {})["versions"] == 0
    assert_counts_equal_rows(functions)
    assert functions.query("test:all", {})["audit"][-1] == ["reset", "user_1", []]


def test_repair_merges_rows_into_the_oldest(functions: Functions) -> None:
    """The oldest row gets the team's columns that it lacks from the other rows, in order of age.

    Of Clerk's columns it takes only the latest sign-in. The audit log has each removed row."""
    functions.sync([upsert(phone=None), upsert(updated_at=11.0, status="banned")])
    before = functions.query("test:all", {})["audit"]
    repair = {"clerkIds": ["user_1", "user_unknown", "user_admin"]}
    lines = log_lines(functions, "users:repairDuplicates", repair)
    assert lines == [
        "merged user_1 two false manual",
        "merged user_1 three false manual",
        "updated user_1 one true manual",
    ]
    [row] = rows_of(functions)
    assert row == {
        "clerkId": "user_1",
        "status": "banned",
        "createdAt": CREATED_AT,
        "email": "a@example.com",
        "lastSignInAt": 9.0,
        "note": "one",
        "theme": "dark",
        "sortEmail": "a@example.com",
        "sortName": "a@example.com",
        "searchText": "ªexamplecom" + " ª" * 7,
        "updatedAt": 11.0,
        "observedAt": 100.0,
    }
    audit = functions.query("test:all", {})["audit"][len(before) :]
    merged = ["merged", "user_1", []]
    assert audit[:2] == [merged, merged]
    assert (audit[2][0], sorted(audit[2][2])) == ("updated", ["lastSignInAt", "theme"])
    assert len(audit) == 3
    assert_counts_equal_rows(functions)
    assert all_duplicates(functions) == []
    assert functions.mutation("users:repairDuplicates", repair) == [
        {"clerkId": clerk_id, "removed": 0} for clerk_id in repair["clerkIds"]
    ]
    assert functions.query("test:all", {})["audit"][len(before) :] == audit


def test_repair_may_leave_the_oldest_as_it_is(functions: Functions) -> None:
    """Then the log has only the removed rows. Second versions are removed too."""
    other = {"clerkId": "user_2", "clerkStamp": [9, 9]}  # a stamp belongs to its row
    functions.mutation("test:insert", {"rows": [{"clerkId": "user_2", "note": "a"}, other]})
    for _ in range(3):
        functions.mutation("test:insertVersion", {"clerkId": "user_2"})
    functions.mutation("users:rebuildStats", {})
    answer = functions.mutation("users:repairDuplicates", {"clerkIds": ["user_2", "user_1"]})
    assert answer == [{"clerkId": "user_2", "removed": 1}, {"clerkId": "user_1", "removed": 2}]
    [row] = rows_of(functions, "user_2")
    assert (row["note"], row["updatedAt"]) == ("a", 1.0)
    look = functions.query("test:all", {})
    assert [entry for entry in look["audit"] if entry[1] == "user_2"] == [["merged", "user_2", []]]
    assert look["versions"] == 1
    assert_counts_equal_rows(functions)


def test_repair_takes_no_more_than_a_hundred(functions: Functions) -> None:
    answer = functions.http.post(
        "/api/mutation",
        json={"path": "users:repairDuplicates", "args": {"clerkIds": ["x"] * 101}, "format": "json"},
    ).json()
    assert "at most 100" in answer["errorMessage"]


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [1, 1, 1],
        [1] * 25,
        [2] * 25,
        [1, 1, 1, 1, 2, 1, 1],  # on both sides of the end of a part
        [1, 1, 1, 1, 1, 2],
        [4, 2, 5, 1, 6, 12, 1, 1],  # more of one user than a part has
        [7],
        [5],
        [1, 1, 1, 2],
    ],
)
def test_each_duplicate_is_found_once_wherever_a_part_ends(deployment: Functions, counts: list[int]) -> None:
    deployment.clear()
    ids = [f"user_{number:02}" for number in range(len(counts))]
    rows = [{"clerkId": it} for it, count in zip(ids, counts, strict=True) for _ in range(count)]
    deployment.mutation("test:insert", {"rows": rows})
    found = all_duplicates(deployment)
    assert sorted(set(found)) == [it for it, count in zip(ids, counts, strict=True) if count > 1]
    if max(counts, default=0) < 5:
        assert len(set(found)) == len(found)


def test_search_for_duplicates_reads_a_bounded_number_of_rows(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(
        "test.ts",
        """
import { internalQuery } from "./_generated/server";
import { findDuplicates } from "./clerk/order/duplicates";
export const cost = internalQuery({
  args: {},
  handler: async (ctx) => {
    const { cursor } = await findDuplicates(ctx, null);
    return [cursor, (await ctx.meta.getTransactionMetrics()).documentsRead.used];
  },
});
""",
    )
    with project.running() as functions:
        for start in (0, 400):
            functions.sync([upsert(f"user_{number:04}") for number in range(start, start + 400)])
        assert functions.query("test:cost", {}) == ["user_0498", 500]
