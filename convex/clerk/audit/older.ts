// Lists the entries of an earlier version in clerkActions. It had an index of the outcomes instead, and none of the
// actors. The daily job looks once through the entries that were there, from the newest to the oldest.
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { entryOf, isListed, list } from "./entries";

const BATCH = 500; // entries that one transaction looks at

// Returns whether all entries that clerkActions should have are in it.
export async function areAllListed(ctx: QueryCtx): Promise<boolean> {
  return (await readState(ctx))?.before === 0;
}

// Lists a batch. Returns whether there may be more.
export async function listOlder(ctx: MutationCtx): Promise<boolean> {
  const state = await readState(ctx);
  if (state?.before === 0) return false;
  const rows = await ctx.db
    .query("clerkAudit")
    .withIndex("by_creation_time", (q) => q.lte("_creationTime", state?.before ?? Date.now()))
    .order("desc")
    .take(BATCH);
  for (const entry of rows.map(entryOf)) {
    if (isListed(entry)) await list(ctx, entry);
  }
  const isMore = rows.length === BATCH;
  const before = isMore ? rows[BATCH - 1]!._creationTime : 0;
  if (state === null) await ctx.db.insert("clerkAuditState", { before });
  else await ctx.db.patch("clerkAuditState", state._id, { before });
  return isMore;
}

async function readState(ctx: QueryCtx) {
  return await ctx.db.query("clerkAuditState").first();
}
