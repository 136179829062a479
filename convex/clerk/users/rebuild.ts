// Counts all users again, in batches by Clerk id, into a new generation of counts, while mutations continue.
//
// Meanwhile each mutation inserts its changes by user; see totals.ts. A change of a user whom the rebuild has not passed
// counts only in the old generation, because the batch will read the user as it is then. So a batch first folds the
// changes of its own users. It reads, beside them, only what jobs write: it conflicts with no mutation that changes other
// users, and no mutation conflicts with it. The document that every mutation reads changes only at the start and the end.
import type { Id } from "../../_generated/dataModel";
import type { MutationCtx } from "../../_generated/server";
import { functions, USERS, type User } from "../module";
import { usersOf } from "../state";
import { STATUSES } from "../tables";
import { tally, type Move } from "./tally";
import { add, foldBetween, readFolded, readProgress, readState, scheduleFold, type StatsState } from "./totals";

const BATCH = 500; // users that one transaction counts, and documents that one transaction deletes

// Starts a rebuild. It counts the first batch and schedules the rest. A rebuild that is under way is abandoned.
export async function rebuild(ctx: MutationCtx): Promise<string> {
  return await rebuildStep(ctx, await startRebuild(ctx));
}

// Counts a batch and schedules the next one. Returns a message about the progress.
export async function rebuildStep(ctx: MutationCtx, next: number): Promise<string> {
  const state = await readState(ctx);
  if (state?.next !== next) return "Abandoned: another rebuild has started since.";
  const progress = await readProgress(ctx);
  if (progress?.next !== next) return await rebuild(ctx); // an earlier version of these functions has started it
  const { _id: id, position, end } = progress;
  // Users who are created during the rebuild have later Clerk ids, and are not read.
  const users = await ctx.db
    .query(USERS)
    .withIndex("by_clerk_id", (q) => q.gt("clerkId", position).lte("clerkId", end)) // not the rows without a Clerk id
    .take(BATCH);
  const isEnd = users.length < BATCH;
  const last = isEnd ? end : users[users.length - 1]!.clerkId;
  if (await foldBetween(ctx, position, last)) {
    if (!isEnd) users.push(...(await rowsAfter(ctx, users[users.length - 1]!)));
    await add(ctx, next, tally(users.map((user) => ({ clerkId: user.clerkId, before: null, after: user }))));
    if (isEnd) return await finish(ctx, state._id, id, next);
    await ctx.db.patch("clerkStatsRebuild", id, { position: last });
  }
  await ctx.scheduler.runAfter(0, functions().rebuildStatsStep, { next });
  return "Counting in the background. The users page shows that it is under way, and the log has the result.";
}

// Deletes a batch of the counts of earlier generations, finished or abandoned. Schedules itself until there are none
// left.
export async function dropOld(ctx: MutationCtx): Promise<void> {
  const { generation } = (await readState(ctx)) ?? { generation: 0 };
  const old = await ctx.db
    .query("clerkStats")
    .withIndex("by_generation_and_key", (q) => q.lt("generation", generation))
    .take(BATCH);
  for (const { _id } of old) await ctx.db.delete("clerkStats", _id);
  if (old.length === BATCH) await ctx.scheduler.runAfter(0, functions().dropOldStats, {});
}

// Starts the first generation. If the table had users before these moves, a rebuild counts all, and null is returned:
// it counts what these moves have made.
export async function startFirst(ctx: MutationCtx, moves: Move[]): Promise<StatsState | null> {
  const created = moves.reduce((sum, { before, after }) => sum + Number(after !== null) - Number(before !== null), 0);
  const users = await ctx.db.query(USERS).take(Math.max(created, 0) + 1);
  if (users.length === created) {
    await ctx.db.insert("clerkStatsState", { generation: 1 });
    return { generation: 1 };
  }
  const next = await startRebuild(ctx);
  await ctx.scheduler.runAfter(0, functions().rebuildStatsStep, { next });
  return null;
}

async function startRebuild(ctx: MutationCtx): Promise<number> {
  const [state, progress] = await Promise.all([readState(ctx), readProgress(ctx)]);
  const generation = state?.generation ?? 0;
  const next = (state?.next ?? generation) + 1;
  if (state === null) await ctx.db.insert("clerkStatsState", { generation, next });
  else await ctx.db.replace("clerkStatsState", state._id, { generation, next });
  const last = await ctx.db
    .query(USERS)
    .withIndex("by_clerk_id", (q) => q.gt("clerkId", ""))
    .order("desc")
    .first();
  const begun = { next, position: "", end: last?.clerkId ?? "" };
  if (progress === null) await ctx.db.insert("clerkStatsRebuild", begun);
  else await ctx.db.replace("clerkStatsRebuild", progress._id, begun);
  return next;
}

// Lets all read the new generation.
async function finish(
  ctx: MutationCtx,
  state: Id<"clerkStatsState">,
  progress: Id<"clerkStatsRebuild">,
  next: number,
): Promise<string> {
  await ctx.db.replace("clerkStatsState", state, { generation: next });
  await ctx.db.delete("clerkStatsRebuild", progress);
  await ctx.scheduler.runAfter(0, functions().dropOldStats, {});
  await scheduleFold(ctx); // the changes by user have Clerk ids, so they do not stay
  const counts = await readFolded(ctx, next, "status", "status");
  const numbers = STATUSES.map((status) => counts.get(status) ?? 0);
  const total = numbers.reduce((sum, number) => sum + number, 0);
  return `Counted ${total} users: ${STATUSES.map((status, index) => `${numbers[index]} ${status}`).join(", ")}.`;
}

// Returns the further rows of the Clerk id of `last`. A rebuild counts all rows of a Clerk id in one transaction.
async function rowsAfter(ctx: MutationCtx, last: User) {
  const rows = await usersOf(ctx, last.clerkId).collect();
  return rows.slice(rows.findIndex((row) => row._id === last._id) + 1);
}
