// The audit log: one entry for each applied change of a user, written in its transaction, and one for each action of an
// admin, from its start to its end, with the change that it made. A sign-in changes only lastSignInAt and has no entry,
// because Clerk keeps the sessions.
//
// A filter by user, by admin, by action, or by an outcome of actions is an index. The commonest outcomes have none: for
// these, and for a second filter, a page looks at so many entries and says where to go on.
import { paginationResultValidator, type PaginationOptions } from "convex/server";
import { v, type Infer, type Value } from "convex/values";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { closeAbandoned } from "../admin/actions";
import { functions } from "../module";
import { readUser } from "../state";
import { auditOutcome, type AuditOutcome } from "../tables";
import { pruneRefusals } from "../upkeep/refusals";
import { displayName } from "../users/derived";
import { readMergedPage, readPage } from "../users/pages";
import { compareKeys, type Key, type Span } from "../users/sorted";
import { auditEntry, entryOf, removeEntry, type Entry } from "./entries";
import { listOlder } from "./older";

const RETENTION_MS = 365 * 24 * 60 * 60 * 1000;
const BATCH = 1000; // entries that one transaction deletes; Convex allows 16,000 documents written
const LOOKED_AT = 500; // entries in which a filtered page is looked for

const shownEntry = auditEntry.extend({
  name: v.nullable(v.string()), // the user's name; null: the user has no row any more
  actorName: v.nullable(v.string()), // the admin's name, likewise
});

export const auditPage = paginationResultValidator(shownEntry);

export type AuditEntry = Infer<typeof shownEntry>;

export const auditFilter = {
  clerkId: v.optional(v.string()),
  actor: v.optional(v.string()),
  action: v.optional(v.string()),
  outcome: v.optional(auditOutcome), // of the entry, or of the change that the action has made
  from: v.optional(v.number()), // Unix milliseconds, inclusive
  before: v.optional(v.number()), // exclusive
};

type Filter = { clerkId?: string; actor?: string; action?: string; outcome?: AuditOutcome; from?: number; before?: number };

// The outcomes of changes. So many entries have them that no index does.
const COMMON: ReadonlySet<AuditOutcome> = new Set(["created", "updated", "deleted"]);

// Returns a page of entries, the newest first.
export async function readAudit(ctx: QueryCtx, { paginationOpts, ...filter }: Filter & { paginationOpts: PaginationOptions }) {
  const { actor, action, outcome } = filter;
  if (actor !== undefined || action !== undefined || outcome !== undefined) {
    const read = (span: Span, most: number) => find(ctx, filter, span, most);
    const found = await readMergedPage({ read }, paginationOpts);
    return { ...found, page: await named(ctx, found.page) };
  }
  const keyOf = (row: { _creationTime: number; _id: string }) => [row._creationTime, row._id];
  const rows = entriesIn(ctx, filter, {}).order("desc");
  const found = await readPage({ rows, order: "desc", keyOf }, paginationOpts);
  return { ...found, page: await named(ctx, found.page.map(entryOf)) };
}

// Deletes a batch of entries that are older than the retention, closes actions whose end no service recorded, and
// deletes a batch of the oldest refusals if there are too many. Schedules itself until there are none left.
export async function pruneAudit(ctx: MutationCtx): Promise<void> {
  const old = await ctx.db
    .query("clerkAudit")
    .withIndex("by_creation_time", (q) => q.lt("_creationTime", Date.now() - RETENTION_MS))
    .take(BATCH);
  for (const row of old) await removeEntry(ctx, row);
  const isMore = [await closeAbandoned(ctx), await pruneRefusals(ctx), await listOlder(ctx)];
  if (old.length === BATCH || isMore.includes(true)) await ctx.scheduler.runAfter(0, functions().pruneClerkAudit);
}

type Found = { key: Key; entry: Entry | null };
// A range of times, both inclusive.
type Times = { first?: number; last?: number };

// Returns the first `most` entries of a part of the log that pass the filter, and how far it was looked: null if to the
// end. There may be fewer, even none, although more follow.
async function find(ctx: QueryCtx, filter: Filter, { after, until }: Span, most: number) {
  const page: Entry[] = [];
  let reached = after;
  let size = most;
  for (let left = LOOKED_AT; left > 0; size *= 2) {
    const asked = Math.min(size, left);
    const times = { first: until?.[0] as number | undefined, last: reached?.[0] as number | undefined };
    const rows = await take(ctx, filter, times, asked);
    for (const { key, entry } of rows) {
      // A range of times has the entries of the same moment twice.
      if (reached !== null && compareKeys(key, reached, "desc") <= 0) continue;
      if (until !== null && compareKeys(key, until, "desc") > 0) return { page, reached: null };
      reached = key;
      if (entry !== null && passes(entry, filter)) page.push(entry);
      if (page.length === most) return { page, reached };
    }
    if (rows.length < asked) return { page, reached: null };
    left -= rows.length;
  }
  return { page, reached };
}

// Returns the newest entries of a range of times, by the index that leaves the fewest to look at.
async function take(ctx: QueryCtx, filter: Filter, times: Times, most: number): Promise<Found[]> {
  const { clerkId, actor, action, outcome } = filter;
  if (clerkId !== undefined || (actor === undefined && action === undefined && COMMON.has(outcome!))) {
    const rows = await entriesIn(ctx, filter, times).order("desc").take(most);
    return rows.map((row) => ({ key: [row._creationTime, row._creationTime, row._id], entry: entryOf(row) }));
  }
  const listed = ctx.db.query("clerkActions");
  const within = (q: unknown) => inTimes(q, "at", filter, times) as never;
  const ranged =
    actor !== undefined
      ? listed.withIndex("by_actor", (q) => within(q.eq("actor", actor)))
      : action !== undefined
        ? listed.withIndex("by_action", (q) => within(q.eq("action", action)))
        : listed.withIndex("by_outcome", (q) => within(q.eq("outcome", outcome)));
  const rows = await ranged.order("desc").take(most);
  return await Promise.all(
    rows.map(async ({ _id, _creationTime, at, entry: id }) => {
      const row = await ctx.db.get("clerkAudit", id);
      return { key: [at, _creationTime, _id] as Key, entry: row && entryOf(row) };
    }),
  );
}

// Returns the entries of a user, or all, in a range of times.
function entriesIn(ctx: QueryCtx, filter: Filter, times: Times) {
  const { clerkId } = filter;
  const within = (q: unknown) => inTimes(q, "_creationTime", filter, times) as never;
  const rows = ctx.db.query("clerkAudit");
  if (clerkId !== undefined) return rows.withIndex("by_clerk_id", (q) => within(q.eq("clerkId", clerkId)));
  return rows.withIndex("by_creation_time", (q) => within(q));
}

// IndexRangeBuilder of convex/server, without the types of a certain index.
type Range = Record<"gte" | "lt" | "lte", (field: string, value: Value) => Range>;

function inTimes(range: unknown, field: string, { from, before }: Filter, { first, last }: Times): Range {
  const above = Math.max(from ?? Number.NEGATIVE_INFINITY, first ?? Number.NEGATIVE_INFINITY);
  const start = (range as Range).gte(field, above);
  if (last !== undefined) return start.lte(field, last);
  return before === undefined ? start : start.lt(field, before);
}

function passes(entry: Entry, { actor, action, outcome }: Filter): boolean {
  return (
    (actor === undefined || entry.actor === actor) &&
    (action === undefined || entry.action === action) &&
    (outcome === undefined || entry.outcome === outcome || entry.change === outcome)
  );
}

// Adds the names of the users that entries are about, and of the admins.
async function named(ctx: QueryCtx, entries: Entry[]): Promise<AuditEntry[]> {
  const ids = [...new Set(entries.flatMap(({ clerkId, actor }) => [clerkId ?? [], actor ?? []].flat()))];
  const names = new Map(await Promise.all(ids.map(async (id) => [id, await nameOf(ctx, id)] as const)));
  const nameIn = (id = "") => names.get(id) ?? null;
  return entries.map((entry) => ({ ...entry, name: nameIn(entry.clerkId), actorName: nameIn(entry.actor) }));
}

async function nameOf(ctx: QueryCtx, clerkId: string): Promise<string | null> {
  const user = await readUser(ctx, clerkId);
  return user && displayName(user);
}
