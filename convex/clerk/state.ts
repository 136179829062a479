// What Convex has of one Clerk id.
import type { QueryCtx } from "../_generated/server";

export async function readState(ctx: QueryCtx, clerkId: string) {
  const [row, version] = await Promise.all([readUser(ctx, clerkId), readVersion(ctx, clerkId)]);
  return { row, version };
}

export async function readUser(ctx: QueryCtx, clerkId: string) {
  return await ctx.db.query("users").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId)).unique();
}

export async function readVersion(ctx: QueryCtx, clerkId: string) {
  return await ctx.db.query("clerkVersions").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId)).unique();
}
