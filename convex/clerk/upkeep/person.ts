// Exports and erases what is stored of one person. Both work in parts, because a person may have very many entries in
// the audit log.
//
// The audit log shows what admins did, so its entries stay when a person is erased. A pseudonym that nobody can trace
// back takes the place of the Clerk id, and the ids of events and requests, which lead to other logs, are removed.
//
// The entries of an actor are in clerkActions. Until the daily job has listed there what an earlier version wrote, they
// are looked for among all.
import type { PaginationOptions } from "convex/server";
import { v, type Infer } from "convex/values";
import type { Doc, Id } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { auditEntry, changeEntry, entryOf, type Entry } from "../audit/entries";
import { areAllListed } from "../audit/older";
import { deleteByHand } from "../order/sync";
import { readState, usersOf } from "../state";
import { clerkTables } from "../tables";
import { dropRefusal, readRefusal, refusal, shown } from "./refusals";

const BATCH = 500; // entries that one call reads or changes
const ROWS = 100; // rows of the same Clerk id; there should be one

export const exported = v.object({
  // In the first part only. A row may have columns of the team's own.
  stored: v.nullable(
    v.object({
      rows: v.array(v.any()),
      version: v.nullable(clerkTables.clerkVersions.validator),
      refusal: v.nullable(refusal),
      // The backfills that name the person: as one who could not be written, or as their position.
      backfills: v.array(
        v.object({ startedAt: v.number(), reasons: v.array(v.string()), isPosition: v.boolean() }),
      ),
    }),
  ),
  entries: v.array(auditEntry), // of the audit log, as the subject or as the actor
  cursor: v.nullable(v.string()),
});

export const forgotten = v.object({
  rows: v.number(),
  refusals: v.number(),
  backfills: v.number(),
  entries: v.number(),
  hasTombstone: v.boolean(),
  cursor: v.nullable(v.string()),
});

// The lists that are read: entries about the person, then those by the person, or all. The cursor has the name of the
// list and Convex's cursor.
const LISTS = ["subject", "actor", "all"] as const;
type List = (typeof LISTS)[number];
type Cursor = { list: List; convex: string | null };

// Returns a part of what is stored.
export async function exportPerson(
  ctx: QueryCtx,
  clerkId: string,
  cursor: string | null,
): Promise<Infer<typeof exported>> {
  const { entries, next } = await readEntries(ctx, clerkId, parse(cursor));
  return { stored: cursor === null ? await readStored(ctx, clerkId) : null, entries, cursor: next };
}

// Erases a part of what is stored. The row is deleted as by hand, with onUserChange; its tombstone stays.
export async function forgetPerson(
  ctx: MutationCtx,
  clerkId: string,
  pseudonym: string,
  cursor: string | null,
): Promise<Infer<typeof forgotten>> {
  const erased = cursor === null ? await eraseStored(ctx, clerkId) : { rows: 0, refusals: 0, backfills: 0 };
  // Changed entries are not in the lists of the person any more, so these are read from their start each time.
  const { list, convex } = parse(cursor);
  const from = { list, convex: list === "all" ? convex : null };
  const { entries, orphans, next } = await readEntries(ctx, clerkId, from);
  for (const id of orphans) await ctx.db.delete("clerkActions", id);
  for (const { _id, clerkId: subject, actor } of entries) {
    await changeEntry(ctx, _id, {
      ...(subject === clerkId && { clerkId: pseudonym, eventId: undefined }),
      ...(actor === clerkId && { actor: pseudonym }),
      requestId: undefined,
      object: undefined,
    });
  }
  const { version } = await readState(ctx, clerkId);
  const hasTombstone = version?.deletedAt !== undefined;
  return { ...erased, entries: entries.length, hasTombstone, cursor: next };
}

async function readStored(ctx: QueryCtx, clerkId: string) {
  const rows = await usersOf(ctx, clerkId).take(ROWS);
  const { version } = await readState(ctx, clerkId);
  const refused = await readRefusal(ctx, clerkId);
  const runs = await ctx.db.query("clerkBackfills").collect();
  return {
    rows,
    version: version && withoutSystemFields(version),
    refusal: refused && shown(refused),
    backfills: runs.flatMap((run) => mentions(run, clerkId) ?? []),
  };
}

function withoutSystemFields(version: Doc<"clerkVersions">) {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- names the fields to omit
  const { _id, _creationTime, ...rest } = version;
  return rest;
}

function mentions({ startedAt, progress }: Doc<"clerkBackfills">, clerkId: string) {
  const failures = progress?.failures ?? [];
  const reasons = failures.flatMap((failure) => (failure.clerkId === clerkId ? [failure.reason] : []));
  const isPosition = progress?.ranges.some(({ position }) => position?.id === clerkId) ?? false;
  return reasons.length > 0 || isPosition ? { startedAt, reasons, isPosition } : null;
}

async function eraseStored(ctx: MutationCtx, clerkId: string) {
  const rows = await usersOf(ctx, clerkId).collect();
  const { version } = await readState(ctx, clerkId);
  const refusals = Number(await dropRefusal(ctx, clerkId)); // first: the deletion would end it, uncounted
  // A deletion of an unknown id would leave a tombstone.
  if (rows.length > 0 || version !== null) await deleteByHand(ctx, clerkId);
  let backfills = 0;
  for (const run of await ctx.db.query("clerkBackfills").collect()) {
    const { progress, finishedAt } = run;
    if (progress === null || mentions(run, clerkId) === null) continue;
    const failures = progress.failures.filter((failure) => failure.clerkId !== clerkId);
    // The position of a run that is not finished is needed to resume it. It is gone with the next page.
    const ranges = finishedAt === undefined ? progress.ranges : [];
    await ctx.db.patch("clerkBackfills", run._id, { progress: { ...progress, failures, ranges } });
    backfills += 1;
  }
  return { rows: rows.length, refusals, backfills };
}

async function readEntries(
  ctx: QueryCtx,
  clerkId: string,
  { list, convex }: Cursor,
): Promise<{ entries: Entry[]; orphans: Id<"clerkActions">[]; next: string | null }> {
  const options = { numItems: BATCH, cursor: convex };
  const { entries, orphans, isDone, continueCursor } = await readList(ctx, clerkId, list, options);
  const same = isDone ? null : `${list}:${continueCursor}`;
  if (list === "subject") return { entries, orphans, next: same ?? ((await areAllListed(ctx)) ? "actor:" : "all:") };
  return { entries: entries.filter((it) => it.actor === clerkId && it.clerkId !== clerkId), orphans, next: same };
}

async function readList(ctx: QueryCtx, clerkId: string, list: List, options: PaginationOptions) {
  if (list === "actor") {
    const { page, ...rest } = await ctx.db
      .query("clerkActions")
      .withIndex("by_actor", (q) => q.eq("actor", clerkId))
      .paginate(options);
    const rows = await Promise.all(page.map(({ entry }) => ctx.db.get("clerkAudit", entry)));
    // Documents whose entry is gone: somebody has cleared the log by hand.
    const orphans = page.flatMap(({ _id }, index) => (rows[index] === null ? [_id] : []));
    return { ...rest, orphans, entries: rows.flatMap((row) => (row === null ? [] : [entryOf(row)])) };
  }
  const all = ctx.db.query("clerkAudit");
  const { page, ...rest } =
    list === "subject"
      ? await all.withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId)).paginate(options)
      : await all.order("desc").paginate(options);
  return { ...rest, orphans: [], entries: page.map(entryOf) };
}

function parse(cursor: string | null): Cursor {
  const [name, ...rest] = (cursor ?? "").split(":");
  return { list: LISTS.find((list) => list === name) ?? "subject", convex: rest.join(":") || null };
}
