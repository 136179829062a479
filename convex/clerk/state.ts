// Reads what Convex has of one Clerk id: the user's row, and its document in clerkVersions.
//
// A table that existed before these functions, or rows written by hand, may hold two rows of one user. Then every
// function uses the oldest row, which is the first one in the index. order/duplicates.ts finds and merges the others.
import type { QueryCtx } from "../_generated/server";
import { isWhole } from "./adopt/whole";
import { USERS, type User } from "./module";

// Returns the row and the version. `known` is the row, if it was read before.
export async function readState(ctx: QueryCtx, clerkId: string, known?: User | null) {
  const read = known === undefined ? usersOf(ctx, clerkId).first() : known;
  const [row, version] = await Promise.all([read, readVersion(ctx, clerkId)]);
  return { row, version };
}

// Returns the user's row, or null. A row that was linked to the Clerk id and that no change has filled yet is no user's.
export async function readUser(ctx: QueryCtx, clerkId: string) {
  const row = await usersOf(ctx, clerkId).first();
  return row !== null && isWhole(row) ? row : null;
}

export async function readVersion(ctx: QueryCtx, clerkId: string) {
  return await versionsOf(ctx, clerkId).first();
}

export function usersOf(ctx: QueryCtx, clerkId: string) {
  return ctx.db.query(USERS).withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
}

export function versionsOf(ctx: QueryCtx, clerkId: string) {
  return ctx.db.query("clerkVersions").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
}
