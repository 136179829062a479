// Changes into tables: reads what Convex has, lets the rules decide, writes what they say.
import { internal } from "../_generated/api";
import type { Doc, Id } from "../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../_generated/server";
import { recordChange } from "./audit";
import { onUserChange } from "./onUserChange";
import { decide, decideLockEnd, follow, type Decision, type Row, type State } from "./rules";
import { readState, usersOf, versionsOf } from "./state";
import { countMoves, type Move } from "./stats";
import type { Change, Outcome, Source } from "./tables";

const LONGEST_DELAY_MS = 365 * 24 * 60 * 60 * 1000; // Convex schedules nothing beyond five years

type Origin = { clerkId: string; source: Source; eventId?: string; actor?: string };

export async function syncChanges(ctx: MutationCtx, changes: Change[]): Promise<Outcome[]> {
  const now = Date.now();
  const states = await readStates(ctx, changes);
  const outcomes: Outcome[] = [];
  const moves: Move[] = [];
  for (const change of changes) {
    const state = states.get(change.clerkId) ?? (await readState(ctx, change.clerkId));
    const decision = decide(state, change, now);
    outcomes.push(decision.outcome);
    if (decision.row !== undefined || decision.version !== undefined) {
      moves.push(...(await write(ctx, state, decision, change)));
      states.delete(change.clerkId);
    }
  }
  await countMoves(ctx, moves);
  return outcomes;
}

// The outcomes that syncChanges would have, without a write.
export async function compareChanges(ctx: QueryCtx, changes: Change[]): Promise<Outcome[]> {
  const now = Date.now();
  const states: Map<string, State> = await readStates(ctx, changes);
  return changes.map((change) => {
    const state = states.get(change.clerkId)!;
    const decision = decide(state, change, now);
    states.set(change.clerkId, follow(state, decision));
    return decision.outcome;
  });
}

// Ends a lock at its time, as Clerk does, which tells nobody.
export async function endLock(ctx: MutationCtx, clerkId: string, lockedUntil: number): Promise<void> {
  const state = await readState(ctx, clerkId);
  const decision = decideLockEnd(state, lockedUntil);
  if (decision.row === undefined) return;
  if (lockedUntil > Date.now()) await scheduleLockEnd(ctx, clerkId, lockedUntil);
  else await countMoves(ctx, await write(ctx, state, decision, { clerkId, source: "schedule" }));
}

// Forgets a Clerk id: its rows, the version, the tombstone. True if there was anything.
export async function resetUser(ctx: MutationCtx, clerkId: string): Promise<boolean> {
  const [rows, versions] = await Promise.all([usersOf(ctx, clerkId).collect(), versionsOf(ctx, clerkId).collect()]);
  if (rows.length === 0 && versions.length === 0) return false;
  for (const row of rows) await ctx.db.delete("users", row._id);
  for (const version of versions) await ctx.db.delete("clerkVersions", version._id);
  await countMoves(ctx, rows.map((before) => ({ clerkId, before, after: null })));
  await recordChange(ctx, { outcome: "reset", clerkId, fields: [], source: "manual" });
  return true;
}

async function readStates(ctx: QueryCtx, changes: Change[]) {
  const clerkIds = [...new Set(changes.map((change) => change.clerkId))];
  return new Map(await Promise.all(clerkIds.map(async (id) => [id, await readState(ctx, id)] as const)));
}

// Returns what it means for the counts.
async function write(
  ctx: MutationCtx,
  state: Awaited<ReturnType<typeof readState>>,
  decision: Decision,
  { clerkId, source, eventId, actor }: Origin,
): Promise<Move[]> {
  const { outcome, fields, version } = decision;
  if (version !== undefined) {
    if (state.version === null) await ctx.db.insert("clerkVersions", version);
    else await ctx.db.replace("clerkVersions", state.version._id, version);
  }
  const written = decision.row === null ? await removeRows(ctx, state, clerkId) : await writeRow(ctx, state, decision);
  // A backfill brings in a whole instance at once: whom it created is told by the run, not row by row.
  if (fields !== undefined && !(source === "backfill" && outcome === "created")) {
    await recordChange(ctx, { outcome: outcome as "created", clerkId, fields, source, eventId, actor });
  }
  if (outcome === "created" || outcome === "updated" || outcome === "deleted") {
    for (const { userId, before } of written) {
      await onUserChange(ctx, { outcome, clerkId, userId, before, source });
    }
  }
  return written.map(({ before, after }) => ({ clerkId, before, after }));
}

type Written = { userId: Id<"users"> | null; before: Doc<"users"> | null; after: Row | null };

// All that there are: the next one would be the user's row otherwise.
async function removeRows(ctx: MutationCtx, { row }: { row: Doc<"users"> | null }, clerkId: string): Promise<Written[]> {
  if (row === null) return [{ userId: null, before: null, after: null }];
  const rows = await usersOf(ctx, clerkId).collect();
  for (const before of rows) await ctx.db.delete("users", before._id);
  return rows.map((before) => ({ userId: before._id, before, after: null }));
}

async function writeRow(
  ctx: MutationCtx,
  state: { row: Doc<"users"> | null; version: Doc<"clerkVersions"> | null },
  decision: Decision,
): Promise<Written[]> {
  if (decision.row === undefined || decision.row === null) return [];
  const { row: before } = state;
  const after = follow(state, decision).row!;
  let userId = before?._id;
  if (userId === undefined) userId = await ctx.db.insert("users", after);
  else await ctx.db.patch("users", userId, decision.row);
  const isNewLock = before?.status !== "locked" || before.lockedUntil !== after.lockedUntil;
  if (after.status === "locked" && after.lockedUntil !== undefined && isNewLock) {
    await scheduleLockEnd(ctx, after.clerkId, after.lockedUntil);
  }
  return [{ userId, before, after }];
}

async function scheduleLockEnd(ctx: MutationCtx, clerkId: string, lockedUntil: number): Promise<void> {
  const time = Math.min(lockedUntil, Date.now() + LONGEST_DELAY_MS);
  await ctx.scheduler.runAt(time, internal.users.endLock, { clerkId, lockedUntil });
}
