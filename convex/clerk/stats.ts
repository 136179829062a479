// How many users there are, by status, and how many signed up on each day: counted as they change.
//
// The counts lie in shards that add up, and a mutation writes to one of them, so that writers do not fight over
// a document. A rebuild counts afresh into a generation of its own, a batch at a time, while writers go on: they
// tell the new generation, too, what becomes of a user it has counted already.
import { ConvexError, compareValues, v, type Infer } from "convex/values";
import { internal } from "../_generated/api";
import type { Doc } from "../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../_generated/server";
import type { Row } from "./rules";

const SHARDS = 16;
const BATCH = 500; // users, or counts, that a transaction of a rebuild takes
const DAYS = 30;
const DAY_MS = 24 * 60 * 60 * 1000;
const YEAR_10000 = Date.UTC(10000);

export const usersStats = v.object({
  total: v.number(),
  active: v.number(),
  banned: v.number(),
  locked: v.number(),
  days: v.array(v.object({ day: v.string(), signUps: v.number() })), // UTC, the oldest first
  rebuilding: v.boolean(), // the figures are not whole yet
});

// What a change of one user means for the counts.
export type Move = { clerkId: string; before: Row | null; after: Row | null };

// Changes of counts: by key, then by name.
type Tally = Map<string, Map<string, number>>;

// To be called once a mutation, with all that it has changed.
export async function countMoves(ctx: MutationCtx, moves: Move[]): Promise<void> {
  const changes = tally(moves);
  if (changes.size === 0) return;
  const { generation, next, position } = (await readStatsState(ctx)) ?? (await begin(ctx, moves));
  if (generation > 0) await add(ctx, generation, changes);
  if (next !== undefined && position !== undefined) {
    const counted = moves.filter(({ clerkId }) => compareValues(clerkId, position) <= 0);
    await add(ctx, next, tally(counted));
  }
}

export async function readStats(ctx: QueryCtx, today?: string): Promise<Infer<typeof usersStats>> {
  const last = today === undefined ? Date.now() : Date.parse(`${today}T00:00:00Z`);
  if (today !== undefined && dayOf(last) !== today) throw new ConvexError("today has to be a UTC day: 2026-11-22.");
  const days = Array.from({ length: DAYS }, (_, index) => dayOf(last - (DAYS - 1 - index) * DAY_MS) ?? "");

  const state = await readStatsState(ctx);
  const generation = state?.generation || (state?.next ?? 0);
  const statuses = await readCounts(ctx, generation, "status", "status");
  const signUps = await readCounts(ctx, generation, days[0]!.slice(0, 7), days[DAYS - 1]!.slice(0, 7));
  const of = (status: Row["status"]) => statuses.get(status) ?? 0;
  return {
    total: of("active") + of("banned") + of("locked"),
    active: of("active"),
    banned: of("banned"),
    locked: of("locked"),
    days: days.map((day) => ({ day, signUps: signUps.get(day) ?? 0 })),
    // Without a state nothing has been counted: right only if there is nobody.
    rebuilding: state === null ? (await ctx.db.query("users").first()) !== null : state.next !== undefined,
  };
}

// Counts afresh. Called again, it begins anew, and what was under way stops.
export async function startRebuild(ctx: MutationCtx): Promise<string> {
  const state = await readStatsState(ctx);
  const generation = state?.generation ?? 0;
  const next = Math.max(generation, state?.next ?? 0) + 1;
  if (state === null) await ctx.db.insert("clerkStatsState", { generation, next });
  else await ctx.db.replace("clerkStatsState", state._id, { generation, next });
  await ctx.scheduler.runAfter(0, internal.users.rebuildStatsStep, { next });
  await ctx.scheduler.runAfter(0, internal.users.dropOldStats, {});
  return "Counting afresh. users:stats says rebuilding until it is done.";
}

export async function continueRebuild(ctx: MutationCtx, next: number): Promise<void> {
  const state = await readStatsState(ctx);
  if (state?.next !== next) return; // a later one has begun
  const { _id: id, position } = state;
  const users = await ctx.db
    .query("users")
    .withIndex("by_clerk_id", (q) => (position === undefined ? q : q.gt("clerkId", position)))
    .take(BATCH);
  await add(ctx, next, tally(users.map((after) => ({ clerkId: after.clerkId, before: null, after }))));
  if (users.length === BATCH) {
    await ctx.db.patch("clerkStatsState", id, { position: users.at(-1)!.clerkId });
    await ctx.scheduler.runAfter(0, internal.users.rebuildStatsStep, { next });
  } else {
    await ctx.db.replace("clerkStatsState", id, { generation: next });
    await ctx.scheduler.runAfter(0, internal.users.dropOldStats, {});
  }
}

// Deletes the counts that nobody reads or makes any more, a batch at a time.
export async function dropOld(ctx: MutationCtx): Promise<void> {
  const state = await readStatsState(ctx);
  if (state === null) return;
  const { generation, next = Infinity } = state;
  const counts = () => ctx.db.query("clerkStats");
  const index = "by_generation_and_key_and_shard";
  const older = await counts().withIndex(index, (q) => q.lt("generation", generation)).take(BATCH);
  const abandoned = await counts()
    .withIndex(index, (q) => q.gt("generation", generation).lt("generation", next))
    .take(BATCH);
  for (const { _id } of [...older, ...abandoned]) await ctx.db.delete("clerkStats", _id);
  if (older.length === BATCH || abandoned.length === BATCH) {
    await ctx.scheduler.runAfter(0, internal.users.dropOldStats, {});
  }
}

async function readStatsState(ctx: QueryCtx) {
  return await ctx.db.query("clerkStatsState").unique();
}

// The first counts of all. If there were users before, they have to be counted first.
async function begin(ctx: MutationCtx, moves: Move[]): Promise<Omit<Doc<"clerkStatsState">, "_id" | "_creationTime">> {
  const difference = moves.reduce((sum, { before, after }) => sum + (after ? 1 : 0) - (before ? 1 : 0), 0);
  const users = await ctx.db.query("users").take(Math.max(difference, 0) + 1);
  if (users.length === difference) {
    const state = { generation: 1 };
    await ctx.db.insert("clerkStatsState", state);
    return state;
  }
  await startRebuild(ctx);
  return { generation: 0, next: 1 };
}

function tally(moves: Move[]): Tally {
  const changes: Tally = new Map();
  const count = (key: string, name: string, change: number) => {
    const counts = changes.get(key) ?? new Map<string, number>();
    changes.set(key, counts.set(name, (counts.get(name) ?? 0) + change));
  };
  for (const { before, after } of moves) {
    for (const [user, change] of [[before, -1], [after, 1]] as const) {
      if (user === null) continue;
      count("status", user.status, change);
      const day = dayOf(user.createdAt);
      if (day !== null) count(day.slice(0, 7), day, change);
    }
  }
  for (const [key, counts] of changes) {
    for (const [name, change] of counts) if (change === 0) counts.delete(name);
    if (counts.size === 0) changes.delete(key);
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
      .unique();
    const counts = { ...document?.counts };
    for (const [name, change] of names) counts[name] = (counts[name] ?? 0) + change;
    for (const name of names.keys()) if (counts[name] === 0) delete counts[name];
    if (document === null) await ctx.db.insert("clerkStats", { generation, key, shard, counts });
    else await ctx.db.patch("clerkStats", document._id, { counts });
  };
  await Promise.all([...changes].map(addTo));
}

async function readCounts(ctx: QueryCtx, generation: number, first: string, last: string) {
  const shards = await ctx.db
    .query("clerkStats")
    .withIndex("by_generation_and_key_and_shard", (q) =>
      q.eq("generation", generation).gte("key", first).lte("key", last),
    )
    .collect();
  const sums = new Map<string, number>();
  for (const { counts } of shards) {
    for (const [name, count] of Object.entries(counts)) sums.set(name, (sums.get(name) ?? 0) + count);
  }
  return sums;
}

// The UTC day of a time, "2026-11-22". null for what is no time that a person could have signed up at.
function dayOf(time: number): string | null {
  return time >= 0 && time < YEAR_10000 ? new Date(time).toISOString().slice(0, 10) : null;
}
