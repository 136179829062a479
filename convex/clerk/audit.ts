// The audit log: one row for each change that was applied, written in its transaction.
import { internal } from "../_generated/api";
import type { Doc } from "../_generated/dataModel";
import type { MutationCtx } from "../_generated/server";
import type { WithoutSystemFields } from "convex/server";

const RETENTION_MS = 365 * 24 * 60 * 60 * 1000;
const BATCH = 1000; // rows a transaction deletes, far below Convex's 16,000

export async function recordChange(ctx: MutationCtx, row: WithoutSystemFields<Doc<"clerkAudit">>): Promise<void> {
  await ctx.db.insert("clerkAudit", row);
}

// Deletes rows older than the retention, a batch at a time, until there are none.
export async function pruneAudit(ctx: MutationCtx): Promise<void> {
  const old = await ctx.db
    .query("clerkAudit")
    .withIndex("by_creation_time", (q) => q.lt("_creationTime", Date.now() - RETENTION_MS))
    .take(BATCH);
  for (const row of old) await ctx.db.delete("clerkAudit", row._id);
  if (old.length === BATCH) await ctx.scheduler.runAfter(0, internal.users.pruneClerkAudit);
}
