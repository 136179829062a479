// The audit log: one row for each change of what a user is, written in its transaction, and for each action. A sign-in
// changes lastSignInAt and no more of the user, and has no row: Clerk keeps the sessions.
import { paginationResultValidator, type PaginationOptions, type WithoutSystemFields } from "convex/server";
import { v, type Infer } from "convex/values";
import { internal } from "../../_generated/api";
import type { Doc } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { closeAbandoned } from "../admin/actions";
import { displayName } from "../users/derived";
import { readPage } from "../users/pages";
import { readUser } from "../order/state";
import { clerkTables, type AuditOutcome } from "../tables";

const RETENTION_MS = 365 * 24 * 60 * 60 * 1000;
const BATCH = 1000; // rows a transaction deletes, far below Convex's 16,000

export const auditEntry = clerkTables.clerkAudit.validator.extend({
  _id: v.id("clerkAudit"),
  _creationTime: v.number(),
  name: v.nullable(v.string()), // the user's, while there is one
  actorName: v.nullable(v.string()), // the same of the admin
});

export const auditPage = paginationResultValidator(auditEntry);

export type AuditEntry = Infer<typeof auditEntry>;

export async function recordChange(ctx: MutationCtx, row: WithoutSystemFields<Doc<"clerkAudit">>): Promise<void> {
  await ctx.db.insert("clerkAudit", row);
}

// The newest first.
export async function readAudit(
  ctx: QueryCtx,
  { paginationOpts, clerkId, outcome }: { paginationOpts: PaginationOptions; clerkId?: string; outcome?: AuditOutcome },
) {
  const order = "desc";
  const keyOf = (row: Doc<"clerkAudit">) => [row._creationTime, row._id];
  const rows = await readPage({ rows: filtered(ctx, clerkId, outcome).order(order), order, keyOf }, paginationOpts);
  const ids = [...new Set(rows.page.flatMap(({ clerkId, actor }) => [clerkId ?? [], actor ?? []].flat()))];
  const names = new Map(await Promise.all(ids.map(async (id) => [id, await nameOf(ctx, id)] as const)));
  const named = (id = "") => names.get(id) ?? null;
  const page = rows.page.map((row) => ({ ...row, name: named(row.clerkId), actorName: named(row.actor) }));
  return { ...rows, page };
}

// Deletes rows older than the retention and closes actions that no service will, a batch at a time, until there are none.
export async function pruneAudit(ctx: MutationCtx): Promise<void> {
  const old = await ctx.db
    .query("clerkAudit")
    .withIndex("by_creation_time", (q) => q.lt("_creationTime", Date.now() - RETENTION_MS))
    .take(BATCH);
  for (const row of old) await ctx.db.delete("clerkAudit", row._id);
  const isMoreAbandoned = await closeAbandoned(ctx);
  if (old.length === BATCH || isMoreAbandoned) await ctx.scheduler.runAfter(0, internal.users.pruneClerkAudit);
}

function filtered(ctx: QueryCtx, clerkId: string | undefined, outcome: AuditOutcome | undefined) {
  const rows = ctx.db.query("clerkAudit");
  if (clerkId === undefined && outcome === undefined) return rows;
  if (clerkId === undefined) return rows.withIndex("by_outcome", (q) => q.eq("outcome", outcome!));
  if (outcome === undefined) return rows.withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
  return rows.withIndex("by_clerk_id_and_outcome", (q) => q.eq("clerkId", clerkId).eq("outcome", outcome));
}

async function nameOf(ctx: QueryCtx, clerkId: string): Promise<string | null> {
  const user = await readUser(ctx, clerkId);
  return user && displayName(user);
}
