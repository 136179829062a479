"""A project whose users table had rows before: loose tables, columns of the team's own, raw inserts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.functions import Functions, Project

LOOSE = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { looseClerkTables } from "./clerk/tables";

export default defineSchema({
  ...looseClerkTables,
  merges: defineTable({ from: v.string(), to: v.string() }),
});
"""

OWN_COLUMNS = """
import { v } from "convex/values";
export const extraColumns = {};
export const requiredExtraColumns = {};
export const ownColumns = {
  name: v.optional(v.string()),
  plan: v.optional(v.union(v.literal("free"), v.literal("pro"))),
  tokenIdentifier: v.optional(v.string()),
};
"""

INSERT = """
import { v } from "convex/values";
import { internalMutation, internalQuery } from "./_generated/server";

// The schema checks each row, as a push checks the rows that are there.
export const insert = internalMutation({
  args: { rows: v.any() },
  handler: async (ctx, { rows }) => {
    const ids: string[] = [];
    for (const row of rows) ids.push(await ctx.db.insert("users", row));
    return ids;
  },
});

export const dump = internalQuery({
  args: { table: v.string() },
  handler: (ctx, { table }) => ctx.db.query(table as "users").collect(),
});

export const remove = internalMutation({
  args: { id: v.id("users") },
  handler: (ctx, { id }) => ctx.db.delete("users", id),
});
"""

ON_USER_CHANGE = """
import type { MutationCtx } from "../_generated/server";

export async function onUserChange(ctx: MutationCtx, { outcome, userId, before }: any): Promise<void> {
  if (outcome === "merged") await (ctx.db as any).insert("merges", { from: before._id, to: userId });
}
"""


def loose_project(folder: Path) -> Project:
    project = Project(folder)
    project.write("schema.ts", LOOSE)
    project.write("clerk/columns.ts", OWN_COLUMNS)
    project.write("clerk/onUserChange.ts", ON_USER_CHANGE)
    project.write("raw.ts", INSERT)
    return project


def insert(functions: Functions, *rows: dict[str, Any]) -> list[str]:
    """Insert rows as the team's own functions did, past ours, and return their ids."""
    ids: list[str] = functions.mutation("raw:insert", {"rows": rows})
    return ids


def table(functions: Functions, name: str) -> list[dict[str, Any]]:
    """Return all documents of a table, the oldest first."""
    rows: list[dict[str, Any]] = functions.query("raw:dump", {"table": name})
    return rows
