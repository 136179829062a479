"""The Convex project of the chaos test: the functions, a witness of each change, a reader of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clerk_convex.local.convex import LocalConvex
from tests.support.functions import Functions, Project

__all__ = ["Tables", "deployed"]

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { clerkTables } from "./clerk/tables";

const change = { clerkId: v.string(), outcome: v.string(), source: v.string() };
const witness = defineTable({ ...change, had: v.boolean(), content: v.boolean() });
export default defineSchema({ ...clerkTables, chaosWitness: witness });
"""

# The witness compares the row before with the row after by itself, in the transaction of the change.
WITNESS = """
import type { MutationCtx } from "../_generated/server";
export type UserChange = { outcome: string; clerkId: string; userId: any; before: any; source: string };

const SILENT = new Set(["lastSignInAt", "clerkStamp", "sortName", "sortEmail", "searchText"]);

export async function onUserChange(ctx: MutationCtx, change: UserChange): Promise<void> {
  const { outcome, clerkId, userId, before, source } = change;
  const after = userId === null ? null : await ctx.db.get("users", userId);
  const names = [...Object.keys(before ?? {}), ...Object.keys(after ?? {})];
  const content = names.some((name) => !SILENT.has(name) && before?.[name] !== after?.[name]);
  const had = before !== null;
  await ctx.db.insert("chaosWitness" as any, { outcome, clerkId, source, had, content } as any);
}
"""

PAGE = """
import { v } from "convex/values";
import { internalQuery } from "./_generated/server";

export const together = internalQuery({
  args: { tables: v.array(v.string()) },
  handler: (ctx, { tables }) => Promise.all(tables.map((table) => ctx.db.query(table as "users").collect())),
});

export const page = internalQuery({
  args: { table: v.string(), cursor: v.nullable(v.string()) },
  handler: (ctx, { table, cursor }) => ctx.db.query(table as "users").paginate({ numItems: 1000, cursor }),
});
"""

ANSWER_SECONDS = 60.0


class Tables:
    """The tables of the deployment, read and called past the proxies."""

    def __init__(self, convex: LocalConvex) -> None:
        self.url, self.key = convex.url, convex.deploy_key
        self._functions = Functions(convex)
        self._functions.http.timeout = ANSWER_SECONDS

    def all(self, table: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self._functions.query("chaos:page", {"table": table, "cursor": cursor})
            rows += page["page"]
            if page["isDone"]:
                return rows
            cursor = page["continueCursor"]

    def together(self, *tables: str) -> list[list[dict[str, Any]]]:
        """Return the rows of small tables as they are at one moment."""
        return self._functions.query("chaos:together", {"tables": tables})  # type: ignore[no-any-return]

    def call(self, name: str) -> None:
        """Run a mutation of users.ts that has no arguments."""
        self._functions.mutation(f"users:{name}", {})

    def close(self) -> None:
        self._functions.http.close()


@contextmanager
def deployed(folder: Path, broken: Sequence[tuple[str, str, str]] = ()) -> Iterator[Tables]:
    """Run the project in `folder`. `broken` are files, each with a text of it and what takes its place."""
    project = Project(folder)
    project.write("schema.ts", SCHEMA)
    project.write("clerk/onUserChange.ts", WITNESS)
    project.write("chaos.ts", PAGE)
    # So that many changes of the totals are added while others wait.
    project.replace("clerk/users/totals.ts", "const SETTLED_MS = 10_000", "const SETTLED_MS = 100")
    for name, text, instead in broken:
        project.replace(name, text, instead)
    with LocalConvex(project=folder) as convex:
        tables = Tables(convex)
        try:
            yield tables
        finally:
            tables.close()
