// How many users there are, by status, and how many signed up on each day: counted as they change.
//
// The counts lie in shards that add up, and a mutation writes to one of them, so that writers do not fight over
// a document. A rebuild counts afresh into a generation of its own, a batch at a time, while writers go on: they
// tell the new generation, too, what becomes of a user it has counted already.
import type { WithoutSystemFields } from "convex/server";
import { ConvexError, compareValues, v, type Infer } from "convex/values";
import { internal } from "../_generated/api";
import type { Doc } from "../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../_generated/server";
import type { Row } from "./rules";
import { usersOf } from "./state";
import { STATUSES } from "./tables";

const SHARDS = 16;
const BATCH = 500; // users, or counts, that a transaction of a rebuild takes
const DAYS = 30;
const DAY_MS = 24 * 60 * 60 * 1000;
const YEAR_10000 = Date.UTC(10000);

export const usersStats = v.object({
  total: v.number(),
  active: v.number(),
  banned: v.number(),
  deprovisioned: v.number(),
  locked: v.number(),
  days: v.array(v.object({ day: v.string(), signUps: v.number() })), // UTC, the oldest first
  rebuilding: v.boolean(), // not all users may have been counted yet
});

// What a change means for the counts of one user.
export type Move = { clerkId: string; before: Row | null; after: Row | null };

// Changes of counts: by key, then by name.
type Tally = Map<string, Map<string, number>>;

// To be called at the end of a mutation, with all that it has changed.
export async function countMoves(ctx: MutationCtx, moves: Move[]): Promise<void> {
  // Each on its own: what cancels out over all users may not over those whom a rebuild has counted already.
  const counting = moves.filter((move) => tally([move]).size > 0);
  if (counting.length === 0) return;
  const { generation, next, position } = (await readStatsState(ctx)) ?? (await begin(ctx, counting));
  if (generation > 0) await add(ctx, generation, tally(counting));
  if (next !== undefined && position !== undefined) {
    const counted = counting.filter(({ clerkId }) => compareValues(clerkId, position) <= 0);
    await add(ctx, next, tally(counted));
  }
}

export async function readStats(ctx: QueryCtx, today?: string): Promise<Infer<typeof usersStats>> {
  const days = lastDays(today);
  const state = await readStatsState(ctx);
  // The very first count is shown while it grows.
  const generation = state?.generation || state?.next || 0;
  const signUps = await readCounts(ctx, generation, monthOf(days[0]!), monthOf(days[DAYS - 1]!));
  return {
    ...(await readTotals(ctx, generation)),
    days: days.map((day) => ({ day, signUps: signUps[day] ?? 0 })),
    // Without a state nobody has been counted, which is right only where nobody is.
    rebuilding: state === null ? (await ctx.db.query("users").first()) !== null : state.next !== undefined,
  };
}

// Counts afresh, for the most part in the background. Called again it begins anew, and what was under way stops.
export async function rebuild(ctx: MutationCtx): Promise<string> {
  return await rebuildStep(ctx, await startRebuild(ctx));
}

// Counts a batch, and schedules the next one. Says how far it is.
export async function rebuildStep(ctx: MutationCtx, next: number): Promise<string> {
  const state = await readStatsState(ctx);
  if (state?.next !== next) return "Given up: another rebuild has begun since.";
  const { _id: id, position } = state;
  const users = await ctx.db
    .query("users")
    .withIndex("by_clerk_id", (q) => (position === undefined ? q : q.gt("clerkId", position)))
    .take(BATCH);
  const isEnd = users.length < BATCH;
  const last = users[users.length - 1];
  if (!isEnd) users.push(...(await rowsAfter(ctx, last!)));
  await add(ctx, next, tally(users.map((user) => ({ clerkId: user.clerkId, before: null, after: user }))));
  if (!isEnd) {
    await ctx.db.patch("clerkStatsState", id, { position: last!.clerkId });
    await ctx.scheduler.runAfter(0, internal.users.rebuildStatsStep, { next });
    return "Counting in the background. The users page says so until it is done, and then the log does.";
  }
  await ctx.db.replace("clerkStatsState", id, { generation: next });
  await ctx.scheduler.runAfter(0, internal.users.dropOldStats, {});
  const totals = await readTotals(ctx, next);
  return `Counted ${totals.total} users: ${STATUSES.map((status) => `${totals[status]} ${status}`).join(", ")}.`;
}

// Deletes the counts of earlier generations, finished or given up, a batch at a time.
export async function dropOld(ctx: MutationCtx): Promise<void> {
  const { generation } = (await readStatsState(ctx)) ?? { generation: 0 };
  const old = await ctx.db
    .query("clerkStats")
    .withIndex("by_generation_and_key_and_shard", (q) => q.lt("generation", generation))
    .take(BATCH);
  for (const { _id } of old) await ctx.db.delete("clerkStats", _id);
  if (old.length === BATCH) await ctx.scheduler.runAfter(0, internal.users.dropOldStats, {});
}

async function readStatsState(ctx: QueryCtx) {
  return await ctx.db.query("clerkStatsState").first();
}

// The further rows of the same Clerk id, if it has several: a rebuild takes all of them at once or none.
async function rowsAfter(ctx: QueryCtx, last: Doc<"users">) {
  const rows = await usersOf(ctx, last.clerkId).collect();
  return rows.slice(rows.findIndex((row) => row._id === last._id) + 1);
}

// The first counts of all. Those who were there before have to be counted first.
async function begin(ctx: MutationCtx, moves: Move[]): Promise<WithoutSystemFields<Doc<"clerkStatsState">>> {
  const created = moves.reduce((sum, { before, after }) => sum + Number(after !== null) - Number(before !== null), 0);
  const users = await ctx.db.query("users").take(Math.max(created, 0) + 1);
  if (users.length === created) {
    await ctx.db.insert("clerkStatsState", { generation: 1 });
    return { generation: 1 };
  }
  const next = await startRebuild(ctx);
  await ctx.scheduler.runAfter(0, internal.users.rebuildStatsStep, { next });
  return { generation: 0, next };
}

async function startRebuild(ctx: MutationCtx): Promise<number> {
  const state = await readStatsState(ctx);
  const generation = state?.generation ?? 0;
  const next = (state?.next ?? generation) + 1;
  if (state === null) await ctx.db.insert("clerkStatsState", { generation, next });
  else await ctx.db.replace("clerkStatsState", state._id, { generation, next });
  return next;
}

function tally(moves: Move[]): Tally {
  const changes: Tally = new Map();
  const count = (key: string, name: string, change: number) => {
    const names = changes.get(key) ?? new Map<string, number>();
    changes.set(key, names.set(name, (names.get(name) ?? 0) + change));
  };
  const countUser = (user: Row | null, change: number) => {
    if (user === null) return;
    count("status", user.status, change);
    // A time that nobody can have signed up at is on no day.
    const isTime = user.createdAt >= 0 && user.createdAt < YEAR_10000;
    if (isTime) count(monthOf(dayOf(user.createdAt)), dayOf(user.createdAt), change);
  };
  for (const { before, after } of moves) {
    countUser(before, -1);
    countUser(after, 1);
  }
  for (const [key, names] of changes) {
    for (const [name, change] of names) if (change === 0) names.delete(name);
    if (names.size === 0) changes.delete(key);
  }
  return changes;
}

async function add(ctx: MutationCtx, generation: number, changes: Tally): Promise<void> {
  const shard = Math.floor(Math.random() * SHARDS);
  const addTo = async ([key, names]: [string, Map<string, number>]) => {
    const document = await ctx.db
      .query("clerkStats")
      .withIndex("by_generation_and_key_and_shard", (q) =>
        q.eq("generation", generation).eq("key", key).eq("shard", shard),
      )
      .first();
    const counts = { ...document?.counts };
    for (const [name, change] of names) {
      counts[name] = (counts[name] ?? 0) + change;
      if (counts[name] === 0) delete counts[name];
    }
    if (document === null) await ctx.db.insert("clerkStats", { generation, key, shard, counts });
    else await ctx.db.patch("clerkStats", document._id, { counts });
  };
  await Promise.all([...changes].map(addTo));
}

// A count names only the statuses that it has met: one that came into the schema later counts from zero.
async function readTotals(ctx: QueryCtx, generation: number) {
  const counts = await readCounts(ctx, generation, "status", "status");
  const { active = 0, banned = 0, deprovisioned = 0, locked = 0 } = counts;
  return { total: active + banned + deprovisioned + locked, active, banned, deprovisioned, locked };
}

// The sums of all shards of the keys from `first` to `last`.
async function readCounts(ctx: QueryCtx, generation: number, first: string, last: string) {
  const shards = await ctx.db
    .query("clerkStats")
    .withIndex("by_generation_and_key_and_shard", (q) =>
      q.eq("generation", generation).gte("key", first).lte("key", last),
    )
    .collect();
  const sums: Record<string, number> = {};
  for (const { counts } of shards) {
    for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
  }
  return sums;
}

function lastDays(today: string | undefined): string[] {
  const last = today === undefined ? Date.now() : Date.parse(`${today}T00:00:00Z`);
  const isDay = today === undefined || (last >= DAYS * DAY_MS && dayOf(last) === today);
  if (!isDay) throw new ConvexError("today is no day. It has to be a UTC day such as 2026-11-22.");
  return Array.from({ length: DAYS }, (_, index) => dayOf(last - (DAYS - 1 - index) * DAY_MS));
}

// UTC
function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

function monthOf(day: string): string {
  return day.slice(0, 7);
}
