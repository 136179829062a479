"""The functions in convex/ besides the rules: the audit log, and the files that a team edits."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from convex import ConvexClient

from clerk_convex.convex.client import Deployment
from clerk_convex.convex.writer import Writer
from clerk_convex.entities.changes import Change, SignIn, Upsert
from clerk_convex.errors import ChangeRefused
from tests.support.functions import (
    CREATED_AT,
    LATER,
    ROOT,
    Functions,
    Project,
    as_json,
    delete,
    eventually,
    upsert,
)

TEST_FUNCTIONS = """
import { internalQuery } from "./_generated/server";
import { entryOf } from "./clerk/audit/entries";

export const auditRows = internalQuery({
  args: {},
  handler: async (ctx) =>
    (await ctx.db.query("clerkAudit").collect()).map(entryOf).map(({ _id, _creationTime, ...row }) => row),
});

// No two results are equal, so each run of it is seen.
export const countUsers = internalQuery({
  args: {},
  handler: async (ctx) => [(await ctx.db.query("users").collect()).length, Math.random()],
});
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("test.ts", TEST_FUNCTIONS)
    return project


# ---------------------------------------------------------------- the audit log


def test_audit_has_names_of_fields_and_no_values(project: Project) -> None:
    """There is one row for each applied change: the outcome, the user, the changed fields and the source.
    That of a new user names no fields, because all of them are new."""
    with project.running() as functions:
        functions.sync(
            [
                upsert(firstName="Ada", email="ada@example.com", event_id="msg_1"),
                upsert(firstName="Ada", email="ada@example.com", event_id="msg_2"),
                upsert(updated_at=11.0, firstName="Grace", email=None, source="admin", actor="user_0"),
                upsert(updated_at=9.0, firstName="Eve", email="eve@example.com"),
                delete(),
                delete(),
            ]
        )
        functions.mutation("users:resetUser", {"clerkId": "user_1"})
        rows = functions.query("test:auditRows", {})
    assert "ada" not in str(rows).lower()
    for row in rows:
        row["fields"] = sorted(row["fields"])
    assert rows == [
        {
            "outcome": "created",
            "clerkId": "user_1",
            "fields": [],
            "source": "webhook",
            "eventId": "msg_1",
        },
        {
            "outcome": "updated",
            "clerkId": "user_1",
            "fields": ["email", "firstName"],
            "source": "admin",
            "actor": "user_0",
        },
        {"outcome": "deleted", "clerkId": "user_1", "fields": [], "source": "webhook"},
        {"outcome": "reset", "clerkId": "user_1", "fields": [], "source": "manual"},
    ]


def test_audit_leaves_out_sign_ins_and_created_users_of_a_backfill(project: Project) -> None:
    """A change of lastSignInAt alone has no row, whatever brings it. A user whom a backfill updates has one,
    which names a sign-in that came with it."""
    with project.running() as functions:
        backfilled = upsert(source="backfill", lastSignInAt=1.0)
        assert functions.sync([backfilled]) == ["created"]
        signed_in: list[Change] = [
            upsert(updated_at=9.0, lastSignInAt=2.0),
            upsert(updated_at=11.0, lastSignInAt=3.0),
            upsert(updated_at=11.0, observed_at=101.0, source="backfill", lastSignInAt=4.0),
            upsert(updated_at=11.0, observed_at=101.0, lastSignInAt=5.0),
            SignIn("user_1", 6.0, "webhook"),
        ]
        assert functions.sync(signed_in) == ["updated"] * 5
        assert functions.rows()["user_1"]["lastSignInAt"] == 6.0
        assert functions.query("test:auditRows", {}) == []
        functions.sync([upsert(updated_at=12.0, source="backfill", firstName="Ada", lastSignInAt=7.0)])
        [row] = functions.query("test:auditRows", {})
        assert (row["outcome"], sorted(row["fields"])) == ("updated", ["firstName", "lastSignInAt"])


def test_audit_is_pruned_in_batches_until_nothing_is_old(project: Project) -> None:
    """The cron's function deletes a batch, and schedules itself while there are more old entries."""
    project.replace("clerk/audit/log.ts", "365 * 24 * 60 * 60 * 1000", "0")
    project.replace("clerk/audit/log.ts", "const BATCH = 1000", "const BATCH = 2")
    with project.running() as functions:
        functions.sync([upsert(f"user_{number}") for number in range(7)])
        time.sleep(0.01)  # older than now
        functions.mutation("users:pruneClerkAudit", {})
        assert eventually(lambda: functions.query("test:auditRows", {}) == [])
        assert len(functions.rows()) == 7


def test_audit_is_kept_for_a_year(project: Project) -> None:
    project.write("later.ts", LATER)
    with project.running() as functions:
        functions.sync([upsert()])
        for days, left in ((0, 1), (364.9, 1), (365.1, 0)):
            functions.later(days * 86_400, "pruneClerkAudit", {})
            assert len(functions.query("test:auditRows", {})) == left


# ---------------------------------------------------------------- subscribers


def test_new_stamp_of_an_unchanged_user_reruns_no_query(project: Project) -> None:
    """A subscribed query of users runs again only when a row changes."""
    with project.running() as functions:
        functions.sync([upsert(firstName="Ada")])
        client = ConvexClient(functions.convex.url)
        client.set_admin_auth(functions.convex.deploy_key)

        async def runs() -> list[int]:
            subscription = client.subscribe("test:countUsers")
            seen: list[int] = []
            async with asyncio.timeout(60):
                async for result in subscription:
                    count = int(result[0])  # type: ignore[index, arg-type]
                    seen.append(count)
                    if len(seen) == 1:
                        unchanged = upsert(updated_at=12.0, observed_at=300.0, firstName="Ada")
                        assert functions.sync([unchanged]) == ["unchanged"]
                        assert functions.sync([upsert(updated_at=11.0, firstName="Eve")]) == ["stale"]
                        assert functions.sync([upsert("user_2")]) == ["created"]
                    if count == 2:
                        return seen
            raise AssertionError("no end")

        assert asyncio.run(runs()) == [1, 2]


# ---------------------------------------------------------------- what a team makes its own


def test_team_has_columns_of_its_own(project: Project) -> None:
    """They are declared in one place. A writer that does not name them leaves them as they are."""
    project.replace(
        "clerk/columns.ts",
        "export const extraColumns = {}",
        "export const extraColumns = { plan: v.string() }",
    )
    project.replace(
        "clerk/columns.ts",
        'from "convex/values";',
        'from "convex/values"; import { v } from "convex/values";',
    )
    with project.running() as functions:
        assert functions.sync([upsert(plan="pro")]) == ["created"]
        assert functions.sync([upsert(updated_at=11.0, firstName="Ada")]) == ["updated"]
        assert functions.rows()["user_1"]["plan"] == "pro"
        assert functions.sync([upsert(updated_at=12.0, firstName="Ada", plan=None)]) == ["updated"]
        assert "plan" not in functions.rows()["user_1"]


def test_team_has_a_users_table_of_its_own(project: Project) -> None:
    """Columns that Clerk does not fill stay, and an existing row of a user is used: there is no second
    row."""
    project.replace(
        "clerk/tables.ts",
        "    clerkId: v.string(),\n    ...requiredColumns",
        ("    onboarded: v.optional(v.boolean()),\n    clerkId: v.string(),\n    ...requiredColumns"),
    )
    project.write(
        "team.ts",
        """
import { mutation } from "./_generated/server";
export const insert = mutation({
  args: {},
  handler: async (ctx) => {
    const row = { clerkId: "user_1", status: "active" as const, createdAt: 1, sortName: "", searchText: "" };
    await ctx.db.insert("users", { ...row, onboarded: true });
  },
});
""",
    )
    with project.running() as functions:
        functions.mutation("team:insert", {})
        assert functions.rows()["user_1"]["updatedAt"] is None
        assert functions.sync([upsert(firstName="Ada")]) == ["created"]
        assert functions.sync([upsert(updated_at=11.0, firstName="Grace")]) == ["updated"]
        row = functions.rows()["user_1"]
        assert (row["firstName"], row["onboarded"]) == ("Grace", True)


def test_team_has_a_users_module_and_table_of_its_own(tmp_path: Path) -> None:
    """If the module and the table get other names, only clerk/module.ts must follow."""
    project = Project(tmp_path)
    convex = project.folder / "convex"
    (convex / "users.ts").rename(convex / "clerkUsers.ts")
    project.replace("clerk/module.ts", "internal.users", "internal.clerkUsers")
    project.replace("clerk/module.ts", '"users" as const', '"clerkUsers" as const')
    for name in ("internal.users", '"users"'):
        ours = [file for file in convex.rglob("*.ts") if "_generated" not in file.parts]
        assert not [file.name for file in ours if name in file.read_text()]
    project.write("users.ts", "export const own = 1;")
    project.replace("schema.ts", "...clerkTables", "users: defineTable({ own: v.string() }), ...clerkTables")
    project.replace("schema.ts", "{ defineSchema }", "{ defineSchema, defineTable }")
    values = 'import { v } from "convex/values";\n'
    project.replace("schema.ts", "import { clerkTables", f"{values}import {{ clerkTables")
    project.replace("clerk/audit/log.ts", "365 * 24 * 60 * 60 * 1000", "0")
    project.replace("clerk/audit/log.ts", "const BATCH = 1000", "const BATCH = 2")
    project.replace("clerk/users/rebuild.ts", "const BATCH = 500", "const BATCH = 2")
    with project.running() as functions:
        data = {"updatedAt": 1, "observedAt": 1, "createdAt": CREATED_AT, "status": "active", "role": "admin"}
        for number in range(5):
            arguments = {"clerkId": f"user_{number}", "userData": data}
            assert functions.mutation("clerkUsers:syncUser", arguments) == "created"
        admin = functions.signed_in("user_1")
        assert "background" in functions.mutation("clerkUsers:rebuildStats", {})
        assert eventually(lambda: not admin.query("clerkUsers:stats")["rebuilding"])
        assert admin.query("clerkUsers:stats")["total"] == 5
        time.sleep(0.01)  # older than now
        functions.mutation("clerkUsers:pruneClerkAudit", {})
        assert eventually(lambda: admin.pages("clerkUsers:auditLog") == [[]])


def test_row_removed_by_hand_comes_back(project: Project) -> None:
    """A row that was removed in the dashboard, and not by Clerk, is written again by the next change, however
    old. No stamp of the removed row is left, neither its own nor a newer one beside it."""
    project.write(
        "team.ts",
        """
import { mutation } from "./_generated/server";
export const removeAll = mutation({
  args: {},
  handler: async (ctx) => {
    for (const user of await ctx.db.query("users").collect()) await ctx.db.delete("users", user._id);
  },
});
""",
    )
    with project.running() as functions:
        functions.sync([upsert(firstName="Ada"), upsert(updated_at=12.0, firstName="Ada")])
        functions.mutation("team:removeAll", {})
        assert functions.sync([upsert(updated_at=9.0, firstName="Ada")]) == ["created"]
        assert functions.rows()["user_1"]["updatedAt"] == 9.0


HOOK = """
import type { MutationCtx } from "../_generated/server";
import type { UserChange as Change } from "./onUserChange";
export async function hook(ctx: MutationCtx, { outcome, clerkId, userId, before, source }: Change) {
  if (clerkId === "user_bad") throw new Error("no");
  const after = outcome === "deleted" || userId === null ? null : await ctx.db.get("users", userId);
  console.log([outcome, clerkId, before?.firstName ?? null, after?.firstName ?? null, source].join(" "));
}
"""


def test_teams_own_logic_runs_in_the_transaction_of_each_applied_change(project: Project) -> None:
    """onUserChange is called for every applied change and for no other. If it throws, only that change is
    refused."""
    project.write("clerk/hook.ts", HOOK)
    project.replace(
        "clerk/order/sync.ts",
        'import { onUserChange } from "../onUserChange";',
        ('import { hook as onUserChange } from "../hook";'),
    )
    changes: list[Change] = [
        upsert(firstName="a"),
        upsert(firstName="a"),
        upsert(updated_at=11.0, firstName="b"),
        SignIn("user_1", 5.0, "webhook"),
        delete(),
        delete(),
    ]

    with project.running() as functions:
        arguments = {"changes": [as_json(change) for change in changes]}
        call = {"path": "users:syncUsers", "format": "json", "args": arguments}
        answer = functions.http.post("/api/mutation", json=call).json()
        assert answer["value"] == ["created", "unchanged", "updated", "updated", "deleted", "unchanged"]
        assert answer["logLines"] == [
            "[LOG] 'created user_1  a webhook'",
            "[LOG] 'updated user_1 a b webhook'",
            "[LOG] 'updated user_1 b b webhook'",
            "[LOG] 'deleted user_1 b  webhook'",
        ]

        async def write(*clerk_ids: str) -> list[Any]:
            writer = Writer(Deployment(functions.convex.url, functions.convex.deploy_key))
            try:
                return await asyncio.gather(
                    *(writer.submit(upsert(it)) for it in clerk_ids), return_exceptions=True
                )
            finally:
                await writer.aclose()

        outcomes = asyncio.run(write("user_2", "user_bad", "user_3"))
        assert (outcomes[0], outcomes[2]) == ("created", "created")
        assert isinstance(outcomes[1], ChangeRefused)
        assert functions.rows().keys() == {"user_2", "user_3"}


def test_500_changes_fit_one_transaction(functions: Functions) -> None:
    """The largest batch that the writer sends stays within Convex's limits, whatever its changes are."""
    users = [upsert(f"user_{number}") for number in range(500)]
    assert set(functions.sync(users)) == {"created"}
    again = [
        Upsert(user.clerk_id, 11.0, 1.0, {**user.columns, "firstName": "x"}, "webhook") for user in users
    ]
    assert set(functions.sync(again)) == {"updated"}
    assert set(functions.sync([delete(user.clerk_id) for user in users])) == {"deleted"}


def test_500_changes_fit_one_transaction_at_worst(project: Project) -> None:
    """Also if each user signed up in another month, while the totals are rebuilt."""
    now = 'runAfter(0, functions().rebuildStatsStep, { next });\n  return "Counting'
    project.replace("clerk/users/rebuild.ts", now, now.replace("0", "1e9", 1))
    month = 31 * 86_400_000.0
    with project.running() as functions:
        ids = [f"user_{number:03}" for number in range(500)]
        users = [upsert(clerk_id, createdAt=number * month) for number, clerk_id in enumerate(ids)]
        assert set(functions.sync(users)) == {"created"}
        # The rebuild stops after these 500 users.
        assert "background" in functions.mutation("users:rebuildStats", {})
        later = [
            upsert(clerk_id, updated_at=11.0, createdAt=(number + 500) * month)
            for number, clerk_id in enumerate(ids)
        ]
        assert set(functions.sync(later)) == {"updated"}
        assert set(functions.sync([delete(clerk_id) for clerk_id in ids])) == {"deleted"}


def test_generated_code_is_up_to_date() -> None:
    """_generated names every module in convex/."""
    api = (ROOT / "convex" / "_generated" / "api.d.ts").read_text()
    modules = {
        str(file.relative_to(ROOT / "convex").with_suffix(""))
        for file in (ROOT / "convex").rglob("*.ts")
        if "_generated" not in file.parts and file.name not in {"schema.ts", "auth.config.ts"}
    }
    assert {module for module in modules if f'"../{module}.js"' in api} == modules
