// Counts users by status, and sign-ups by day. Each mutation that changes users updates the counts.
//
// The counts are spread over shards, and a mutation writes to one shard, so that concurrent mutations rarely conflict.
// A rebuild counts all users again, in batches, into a new generation, while mutations continue. A mutation also
// updates the new generation for each user that the rebuild has counted already.
import type { WithoutSystemFields } from "convex/server";
import { ConvexError, compareValues, v, type Infer } from "convex/values";
import type { Doc } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { isWhole } from "../adopt/whole";
import { functions, USERS, type User } from "../module";
import { usersOf } from "../state";
import { STATUSES, type Row, type Status } from "../tables";

const SHARDS = 16;
const BATCH = 500; // users that one transaction of a rebuild counts, and documents that one transaction deletes
const DAYS = 30;
const DAY_MS = 24 * 60 * 60 * 1000;
const YEAR_10000 = Date.UTC(10000);

export const usersStats = v.object({
  total: v.number(),
  ...forEachStatus(() => v.number()),
  days: v.array(v.object({ day: v.string(), signUps: v.number() })), // days in UTC, the oldest first
  rebuilding: v.boolean(), // true: some users may not be counted yet
});

// A change of one row. null: the row did not exist, or does not exist any more.
export type Move = { clerkId: string; before: Row | null; after: Row | null };

// Differences to add to the counts, by key and then by name; see clerkStats in tables.ts.
type Tally = Map<string, Map<string, number>>;

// Updates the counts. A mutation calls it once, at its end, with all rows that it changed.
export async function countMoves(ctx: MutationCtx, moves: Move[]): Promise<void> {
  // Each move is tested alone. Moves that cancel out over all users may not cancel out over the users that a rebuild
  // has counted already.
  const counting = moves.filter((move) => tally([move]).size > 0);
  if (counting.length === 0) return;
  const { generation, next, position } = (await readStatsState(ctx)) ?? (await startFirst(ctx, counting));
  if (generation > 0) await add(ctx, generation, tally(counting));
  if (next !== undefined && position !== undefined) {
    const counted = counting.filter(({ clerkId }) => compareValues(clerkId, position) <= 0);
    await add(ctx, next, tally(counted));
  }
}

// Returns the counts, and the sign-ups of the 30 days up to `today` (a UTC day such as 2026-11-22).
export async function readStats(ctx: QueryCtx, today?: string): Promise<Infer<typeof usersStats>> {
  const days = lastDays(today);
  const state = await readStatsState(ctx);
  // The first generation is shown while it is being counted.
  const generation = state?.generation || state?.next || 0;
  const signUps = await readCounts(ctx, generation, monthOf(days[0]!), monthOf(days[DAYS - 1]!));
  return {
    ...(await readTotals(ctx, generation)),
    days: days.map((day) => ({ day, signUps: signUps[day] ?? 0 })),
    // Without a state nothing has been counted, which is correct only for an empty table.
    rebuilding: state === null ? (await ctx.db.query(USERS).first()) !== null : state.next !== undefined,
  };
}

// Starts a rebuild. It counts the first batch and schedules the rest. A rebuild that is under way is abandoned.
export async function rebuild(ctx: MutationCtx): Promise<string> {
  return await rebuildStep(ctx, await startRebuild(ctx));
}

// Counts a batch and schedules the next one. Returns a message about the progress.
export async function rebuildStep(ctx: MutationCtx, next: number): Promise<string> {
  const state = await readStatsState(ctx);
  if (state?.next !== next) return "Abandoned: another rebuild has started since.";
  const { _id: id, position } = state;
  const users = await ctx.db
    .query(USERS)
    .withIndex("by_clerk_id", (q) => q.gt("clerkId", position ?? "")) // not the rows without a Clerk id
    .take(BATCH);
  const isEnd = users.length < BATCH;
  const last = users[users.length - 1];
  if (!isEnd) users.push(...(await rowsAfter(ctx, last!)));
  await add(ctx, next, tally(users.map((user) => ({ clerkId: user.clerkId, before: null, after: user }))));
  if (!isEnd) {
    await ctx.db.patch("clerkStatsState", id, { position: last!.clerkId });
    await ctx.scheduler.runAfter(0, functions().rebuildStatsStep, { next });
    return "Counting in the background. The users page shows that it is under way, and the log has the result.";
  }
  await ctx.db.replace("clerkStatsState", id, { generation: next });
  await ctx.scheduler.runAfter(0, functions().dropOldStats, {});
  const totals = await readTotals(ctx, next);
  return `Counted ${totals.total} users: ${STATUSES.map((status) => `${totals[status]} ${status}`).join(", ")}.`;
}

// Deletes a batch of the counts of earlier generations, finished or abandoned. Schedules itself until there are none
// left.
export async function dropOld(ctx: MutationCtx): Promise<void> {
  const { generation } = (await readStatsState(ctx)) ?? { generation: 0 };
  const old = await ctx.db
    .query("clerkStats")
    .withIndex("by_generation_and_key_and_shard", (q) => q.lt("generation", generation))
    .take(BATCH);
  for (const { _id } of old) await ctx.db.delete("clerkStats", _id);
  if (old.length === BATCH) await ctx.scheduler.runAfter(0, functions().dropOldStats, {});
}

async function readStatsState(ctx: QueryCtx) {
  return await ctx.db.query("clerkStatsState").first();
}

// Returns the further rows of the Clerk id of `last`. A rebuild counts all rows of a Clerk id in one transaction.
async function rowsAfter(ctx: QueryCtx, last: User) {
  const rows = await usersOf(ctx, last.clerkId).collect();
  return rows.slice(rows.findIndex((row) => row._id === last._id) + 1);
}

// Starts the first generation. If the table had users before these moves, a rebuild counts them first.
async function startFirst(ctx: MutationCtx, moves: Move[]): Promise<WithoutSystemFields<Doc<"clerkStatsState">>> {
  const created = moves.reduce((sum, { before, after }) => sum + Number(after !== null) - Number(before !== null), 0);
  const users = await ctx.db.query(USERS).take(Math.max(created, 0) + 1);
  if (users.length === created) {
    await ctx.db.insert("clerkStatsState", { generation: 1 });
    return { generation: 1 };
  }
  const next = await startRebuild(ctx);
  await ctx.scheduler.runAfter(0, functions().rebuildStatsStep, { next });
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
    if (user === null || !isWhole(user)) return;
    count("status", user.status, change);
    // Impossible times count for no day.
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

async function readTotals(ctx: QueryCtx, generation: number) {
  const counts = await readCounts(ctx, generation, "status", "status");
  const byStatus = forEachStatus((status) => counts[status] ?? 0); // a status that no user has had yet has no count
  return { total: Object.values(byStatus).reduce((sum, count) => sum + count, 0), ...byStatus };
}

function forEachStatus<Value>(valueOf: (status: Status) => Value): Record<Status, Value> {
  return Object.fromEntries(STATUSES.map((status) => [status, valueOf(status)])) as Record<Status, Value>;
}

// Returns the sums over all shards for the keys from `first` to `last`.
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
  if (!isDay) throw new ConvexError("today is not a day. It must be a UTC day such as 2026-11-22.");
  return Array.from({ length: DAYS }, (_, index) => dayOf(last - (DAYS - 1 - index) * DAY_MS));
}

// Returns the UTC day of a time in Unix milliseconds, such as "2026-11-22".
function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

function monthOf(day: string): string {
  return day.slice(0, 7);
}
