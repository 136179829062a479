// Keeps the counts of users in the tables, so that no two writers need the same document.
//
// A mutation inserts its changes of the counts as one small document, the delta, and reads nothing that another mutation
// or a job writes. So it never conflicts because of the counts. Readers add the deltas to the counts. A job, the fold,
// adds them for good and deletes them. It keeps no position, and counting and deleting are one transaction: nothing is
// lost and nothing counts twice. Each mutation draws whether it schedules a fold, so none has to read how many deltas
// there are.
//
// The counts have a generation, and a rebuild counts all users into the next one; see rebuild.ts. Meanwhile a delta has
// one user, and counts in both generations if the rebuild has passed that user.
import { compareValues } from "convex/values";
import type { Doc } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { functions } from "../module";
import { addTo, fromText, keyOf, tally, toText, type Move, type Tally } from "./tally";

// A fold takes only deltas of transactions that have ended, so that it does not conflict with one that inserts a delta.
// A delta has the time when its transaction began. Convex gives one 5 s to get a slot and 1 s to run.
export const SETTLED_MS = 10_000;
const DELTA_BYTES = 256; // of a delta beside its text, about
const FOLD_BYTES = 16 * 1024; // of deltas for which a fold is scheduled, on average
const MOST_FOLDS = 1 / 8; // folds for each mutation with large deltas
const FOLDED_BYTES = 256 * 1024; // of deltas that one fold takes of each table: about 900 deltas
const READ_BYTES = 4 * 1024 * 1024; // of deltas that a query adds up: about 15,000; Convex allows 32,000 documents

export type StatsState = { generation: number; next?: number };
type Progress = { next: number; position: string; end: string };
type Delta = { delta: string; next?: number; clerkId?: string };

export async function readState(ctx: QueryCtx): Promise<Doc<"clerkStatsState"> | null> {
  return await ctx.db.query("clerkStatsState").first();
}

export async function readProgress(ctx: QueryCtx): Promise<Doc<"clerkStatsRebuild"> | null> {
  return await ctx.db.query("clerkStatsRebuild").first();
}

// Inserts the changes of a mutation, each of which changes a count.
export async function insertDeltas(ctx: MutationCtx, { generation, next }: StatsState, moves: Move[]): Promise<void> {
  const textOf = (some: Move[]) => `${generation} ${toText(tally(some))}`;
  let size = 0;
  if (next === undefined) {
    if (tally(moves).size === 0) return; // they cancel out
    const delta = textOf(moves);
    await ctx.db.insert("clerkStatsDeltas", { delta });
    size = DELTA_BYTES + delta.length;
  } else {
    // Changes that cancel out over all users may not cancel out over those whom the rebuild has passed.
    for (const move of moves) {
      await ctx.db.insert("clerkStatsMoves", { clerkId: move.clerkId, next, delta: textOf([move]) });
    }
    size = DELTA_BYTES * moves.length;
  }
  if (Math.random() < Math.min(size / FOLD_BYTES, MOST_FOLDS)) await scheduleFold(ctx);
}

export async function scheduleFold(ctx: MutationCtx): Promise<void> {
  await ctx.scheduler.runAfter(SETTLED_MS, functions().foldStats, {});
}

// Adds the oldest deltas to the counts and deletes them. Schedules itself until there are none left.
export async function fold(ctx: MutationCtx): Promise<void> {
  const settled = Date.now() - SETTLED_MS;
  const [deltas, moves] = await Promise.all([
    take(ctx.db.query("clerkStatsDeltas").withIndex("by_creation_time", (q) => q.lt("_creationTime", settled))),
    take(ctx.db.query("clerkStatsMoves").withIndex("by_creation_time", (q) => q.lt("_creationTime", settled))),
  ]);
  await foldDeltas(ctx, deltas.found, moves.found);
  if (!deltas.isAll || !moves.isAll) await ctx.scheduler.runAfter(0, functions().foldStats, {});
}

// Adds the deltas of users between two Clerk ids to the counts and deletes them. Returns false if there are more.
export async function foldBetween(ctx: MutationCtx, after: string, last: string): Promise<boolean> {
  const moves = await take(
    ctx.db.query("clerkStatsMoves").withIndex("by_clerk_id", (q) => q.gt("clerkId", after).lte("clerkId", last)),
  );
  await foldDeltas(ctx, [], moves.found);
  return moves.isAll;
}

// Adds changes to the counts of a generation.
export async function add(ctx: MutationCtx, generation: number, changes: Tally): Promise<void> {
  const keys = new Map<string, Tally>();
  for (const [name, change] of changes) {
    const key = keyOf(name);
    keys.set(key, (keys.get(key) ?? new Map<string, number>()).set(name, change));
  }
  for (const [key, names] of keys) {
    // Earlier versions kept several documents of a key. They become one.
    const [first, ...others] = await documents(ctx, generation, key, key).collect();
    const counts: Tally = new Map(Object.entries(first?.counts ?? {}));
    for (const other of others) {
      addTo(counts, new Map(Object.entries(other.counts)));
      await ctx.db.delete("clerkStats", other._id);
    }
    addTo(counts, names);
    const document = { generation, key, counts: Object.fromEntries(counts) };
    if (first === undefined) await ctx.db.insert("clerkStats", document);
    else await ctx.db.replace("clerkStats", first._id, document);
  }
}

// Returns the folded counts for the keys from `first` to `last`.
export async function readFolded(ctx: QueryCtx, generation: number, first: string, last: string): Promise<Tally> {
  const counts: Tally = new Map();
  for (const document of await documents(ctx, generation, first, last).collect()) {
    addTo(counts, new Map(Object.entries(document.counts)));
  }
  return counts;
}

// Returns the changes of a generation that are not folded yet, and whether these are all: a query reads only so many.
export async function readUnfolded(ctx: QueryCtx, state: StatsState, generation: number) {
  // Only the first count is read before it has ended.
  const progress = state.generation === 0 ? await readProgress(ctx) : null;
  const [deltas, moves] = await Promise.all([
    take(ctx.db.query("clerkStatsDeltas"), READ_BYTES),
    take(ctx.db.query("clerkStatsMoves"), READ_BYTES),
  ]);
  const sums = sumsOf([...deltas.found, ...moves.found], state, progress);
  return { changes: sums.get(generation) ?? new Map<string, number>(), isAll: deltas.isAll && moves.isAll };
}

async function foldDeltas(ctx: MutationCtx, deltas: Doc<"clerkStatsDeltas">[], moves: Doc<"clerkStatsMoves">[]) {
  const state = await readState(ctx);
  if (state === null || deltas.length + moves.length === 0) return;
  const progress = await readProgress(ctx);
  for (const [generation, changes] of sumsOf([...deltas, ...moves], state, progress)) await add(ctx, generation, changes);
  for (const { _id } of deltas) await ctx.db.delete("clerkStatsDeltas", _id);
  for (const { _id } of moves) await ctx.db.delete("clerkStatsMoves", _id);
}

// Returns the sums of deltas by the generation in which they count. One that was inserted for a generation that nobody
// reads any more counts in none.
function sumsOf(deltas: Delta[], state: StatsState, progress: Progress | null): Map<number, Tally> {
  const sums = new Map<number, Tally>();
  const sum = (generation: number, delta: string) => {
    const changes = sums.get(generation) ?? new Map<string, number>();
    addTo(changes, fromText(delta));
    sums.set(generation, changes);
  };
  for (const { delta, next, clerkId } of deltas) {
    const space = delta.indexOf(" ");
    const own = Number(delta.slice(0, space));
    const isCurrent = own === state.generation || next === state.generation; // the rebuild may have ended since
    if (isCurrent) sum(state.generation, delta.slice(space + 1));
    const isNext = progress !== null && next === progress.next && hasPassed(progress, clerkId!);
    if (isNext) sum(progress.next, delta.slice(space + 1));
  }
  return sums;
}

// Returns whether a rebuild does not count this user any more: it has, or the user was not there when it began.
function hasPassed({ position, end }: Progress, clerkId: string): boolean {
  return compareValues(clerkId, position) <= 0 || compareValues(clerkId, end) > 0;
}

function documents(ctx: QueryCtx, generation: number, first: string, last: string) {
  return ctx.db
    .query("clerkStats")
    .withIndex("by_generation_and_key", (q) => q.eq("generation", generation).gte("key", first).lte("key", last));
}

// Returns the first deltas of a query, as many as fit in so many bytes and one at least.
async function take<Some extends Delta>(query: AsyncIterable<Some>, bytes = FOLDED_BYTES) {
  const found: Some[] = [];
  let size = 0;
  for await (const one of query) {
    if (found.length > 0 && size >= bytes) return { found, isAll: false };
    found.push(one);
    size += DELTA_BYTES + one.delta.length;
  }
  return { found, isAll: true };
}
