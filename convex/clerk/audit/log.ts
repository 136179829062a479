// The audit log: one entry for each applied change of a user, written in its transaction, and one for each action of an
// admin, from its start to its end. A sign-in changes only lastSignInAt and has no entry, because Clerk keeps the
// sessions.
import { paginationResultValidator, type PaginationOptions } from "convex/server";
import { v, type Infer } from "convex/values";
import type { Doc } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { closeAbandoned } from "../admin/actions";
import { functions } from "../module";
import { readUser } from "../state";
import { clerkTables, type AuditOutcome } from "../tables";
import { pruneRefusals } from "../upkeep/refusals";
import { displayName } from "../users/derived";
import { readPage } from "../users/pages";

const RETENTION_MS = 365 * 24 * 60 * 60 * 1000;
const BATCH = 1000; // entries that one transaction deletes; Convex allows 16,000 documents written
const LOOKED_AT = 100; // entries of a user in which a page with one outcome is looked for

export const auditEntry = clerkTables.clerkAudit.validator.extend({
  _id: v.id("clerkAudit"),
  _creationTime: v.number(),
  name: v.nullable(v.string()), // the user's name; null: the user has no row any more
  actorName: v.nullable(v.string()), // the admin's name, likewise
});

export const auditPage = paginationResultValidator(auditEntry);

export type AuditEntry = Infer<typeof auditEntry>;

// Returns a page of entries, the newest first. A page of one user and one outcome may be short, or empty, although more
// follow: no index serves it, because a user has few entries.
export async function readAudit(
  ctx: QueryCtx,
  { paginationOpts, clerkId, outcome }: { paginationOpts: PaginationOptions; clerkId?: string; outcome?: AuditOutcome },
) {
  const order = "desc";
  const keyOf = (row: Doc<"clerkAudit">) => [row._creationTime, row._id];
  const isSifted = clerkId !== undefined && outcome !== undefined;
  const options = isSifted ? { ...paginationOpts, numItems: LOOKED_AT } : paginationOpts;
  const rows = await readPage({ rows: listed(ctx, clerkId, outcome).order(order), order, keyOf }, options);
  if (isSifted) rows.page = rows.page.filter((row) => row.outcome === outcome);
  const ids = [...new Set(rows.page.flatMap(({ clerkId, actor }) => [clerkId ?? [], actor ?? []].flat()))];
  const names = new Map(await Promise.all(ids.map(async (id) => [id, await nameOf(ctx, id)] as const)));
  const named = (id = "") => names.get(id) ?? null;
  const page = rows.page.map((row) => ({ ...row, name: named(row.clerkId), actorName: named(row.actor) }));
  return { ...rows, page };
}

// Deletes a batch of entries that are older than the retention, closes actions whose end no service recorded, and
// deletes a batch of the oldest refusals if there are too many. Schedules itself until there are none left.
export async function pruneAudit(ctx: MutationCtx): Promise<void> {
  const old = await ctx.db
    .query("clerkAudit")
    .withIndex("by_creation_time", (q) => q.lt("_creationTime", Date.now() - RETENTION_MS))
    .take(BATCH);
  for (const row of old) await ctx.db.delete("clerkAudit", row._id);
  const isMoreAbandoned = await closeAbandoned(ctx);
  const areMoreRefusals = await pruneRefusals(ctx);
  if (old.length === BATCH || isMoreAbandoned || areMoreRefusals) await ctx.scheduler.runAfter(0, functions().pruneClerkAudit);
}

// Returns the entries of a user, else those with an outcome, else all.
function listed(ctx: QueryCtx, clerkId: string | undefined, outcome: AuditOutcome | undefined) {
  const rows = ctx.db.query("clerkAudit");
  if (clerkId !== undefined) return rows.withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
  return outcome === undefined ? rows : rows.withIndex("by_outcome", (q) => q.eq("outcome", outcome));
}

async function nameOf(ctx: QueryCtx, clerkId: string): Promise<string | null> {
  const user = await readUser(ctx, clerkId);
  return user && displayName(user);
}
