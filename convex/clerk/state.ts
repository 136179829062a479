// What Convex has of one Clerk id.
//
// A table that was filled before us, or by hand, may have two rows of one user. The oldest is the user's row then: the
// first in the index, for every function alike. See duplicates.ts for the others.
import type { QueryCtx } from "../_generated/server";

export async function readState(ctx: QueryCtx, clerkId: string) {
  const [row, version] = await Promise.all([readUser(ctx, clerkId), readVersion(ctx, clerkId)]);
  return { row, version };
}

export async function readUser(ctx: QueryCtx, clerkId: string) {
  return await usersOf(ctx, clerkId).first();
}

export async function readVersion(ctx: QueryCtx, clerkId: string) {
  return await versionsOf(ctx, clerkId).first();
}

export function usersOf(ctx: QueryCtx, clerkId: string) {
  return ctx.db.query("users").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
}

export function versionsOf(ctx: QueryCtx, clerkId: string) {
  return ctx.db.query("clerkVersions").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
}
