// Keeps when a webhook last changed a row. The document is written at most once a minute: a write with each webhook
// would cost bytes, and would make concurrent mutations conflict.
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { entryOf } from "../audit/entries";

const EVERY_MS = 60 * 1000;
const NEWEST = 100; // entries of the audit log

// Notes that a webhook has changed a row.
export async function noteWebhook(ctx: MutationCtx): Promise<void> {
  const now = Date.now();
  const known = await ctx.db.query("clerkWebhook").first();
  if (known === null) await ctx.db.insert("clerkWebhook", { lastAt: now });
  else if (now - known.lastAt >= EVERY_MS) await ctx.db.patch("clerkWebhook", known._id, { lastAt: now });
}

// Returns when a webhook last changed a row, in Unix milliseconds by Convex's clock, or null if none ever did. The time
// may be up to a minute too early.
export async function lastWebhookAt(ctx: QueryCtx): Promise<number | null> {
  const known = await ctx.db.query("clerkWebhook").first();
  if (known !== null) return known.lastAt;
  // Earlier versions of these functions did not keep the time.
  const entries = await ctx.db.query("clerkAudit").order("desc").take(NEWEST);
  return entries.map(entryOf).find(({ source }) => source === "webhook")?._creationTime ?? null;
}
