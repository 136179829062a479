// Applies changes to the tables: reads the state, lets the rules decide, and writes what they decide.
import type { Doc, Id } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { addChange, addEntry, takeOver } from "../audit/entries";
import { functions, USERS, type User, type UserId } from "../module";
import { onUserChange } from "../onUserChange";
import { readState, usersOf, versionsOf } from "../state";
import type { AppliedOutcome, Change, Outcome, Row, Source, UserData } from "../tables";
import { dropRefusal, settleRefusals } from "../upkeep/refusals";
import { noteWebhook } from "../upkeep/webhook";
import { countMoves } from "../users/stats";
import type { Move } from "../users/tally";
import { decide, decideLockEnd, stateAfter, versionOf, type Decision, type State } from "./rules";

const LONGEST_DELAY_MS = 365 * 24 * 60 * 60 * 1000; // Convex schedules at most five years ahead

type Origin = { clerkId: string; source: Source; eventId?: string; actor?: string; actionId?: Id<"clerkAudit"> };

// Applies changes in order, and returns the outcome of each.
export async function syncChanges(ctx: MutationCtx, changes: Change[]): Promise<Outcome[]> {
  const now = Date.now();
  const states = await readStates(ctx, changes);
  const outcomes: Outcome[] = [];
  const moves: Move[] = [];
  let hasWebhook = false;
  for (const change of changes) {
    const state = states.get(change.clerkId) ?? (await readState(ctx, change.clerkId));
    const decision = decide(state, change, now);
    outcomes.push(decision.outcome);
    if (change.actionId !== undefined && decision.outcome === "unchanged") await takeOverChange(ctx, state, change);
    hasWebhook ||= change.source === "webhook" && isApplied(decision.outcome);
    if (decision.row !== undefined || decision.version !== undefined) {
      moves.push(...(await write(ctx, state, decision, change)));
      states.delete(change.clerkId);
    }
  }
  await countMoves(ctx, moves);
  await settleRefusals(ctx, changes);
  if (hasWebhook) await noteWebhook(ctx);
  return outcomes;
}

// Returns the outcomes that syncChanges would return, and writes nothing.
export async function compareChanges(ctx: QueryCtx, changes: Change[]): Promise<Outcome[]> {
  const now = Date.now();
  const states: Map<string, State> = await readStates(ctx, changes);
  return changes.map((change) => {
    const state = states.get(change.clerkId)!;
    const decision = decide(state, change, now);
    states.set(change.clerkId, stateAfter(state, decision));
    return decision.outcome;
  });
}

// Applies one upsert that was made by hand.
export async function syncByHand(ctx: MutationCtx, clerkId: string, userData: UserData): Promise<Outcome> {
  const { updatedAt, observedAt, ...columns } = userData;
  const upsert: Change = { type: "upsert", source: "manual", clerkId, updatedAt, observedAt, columns };
  return (await syncChanges(ctx, [upsert]))[0]!;
}

// Applies one deletion that was made by hand. Like a deletion that Clerk announced, it is final.
export async function deleteByHand(ctx: MutationCtx, clerkId: string): Promise<Outcome> {
  const deletion: Change = { type: "delete", source: "manual", clerkId, observedAt: Date.now() };
  return (await syncChanges(ctx, [deletion]))[0]!;
}

// Ends a lock at its time. Clerk ends it too, but sends no event.
export async function endLock(ctx: MutationCtx, clerkId: string, lockedUntil: number): Promise<void> {
  const state = await readState(ctx, clerkId);
  const decision = decideLockEnd(state, lockedUntil);
  if (decision.row === undefined) return;
  if (lockedUntil > Date.now()) await scheduleLockEnd(ctx, clerkId, lockedUntil);
  else await countMoves(ctx, await write(ctx, state, decision, { clerkId, source: "schedule" }));
}

// Removes the rows of a Clerk id and its document in clerkVersions, a tombstone included. Returns whether there were any.
export async function resetUser(ctx: MutationCtx, clerkId: string): Promise<boolean> {
  const rows = await usersOf(ctx, clerkId).collect();
  const versions = await removeVersions(ctx, clerkId);
  await dropRefusal(ctx, clerkId);
  if (rows.length === 0 && versions === 0) return false;
  for (const row of rows) await ctx.db.delete(USERS, row._id);
  await countMoves(ctx, rows.map((before) => ({ clerkId, before, after: null })));
  await addEntry(ctx, { outcome: "reset", clerkId, fields: [], source: "manual" });
  return true;
}

async function readStates(ctx: QueryCtx, changes: Change[]) {
  const clerkIds = [...new Set(changes.map((change) => change.clerkId))];
  return new Map(await Promise.all(clerkIds.map(async (id) => [id, await readState(ctx, id)] as const)));
}

// Writes a decision: the document of the version, the row, the audit log and the team's own logic. Returns the moves for the counts.
async function write(
  ctx: MutationCtx,
  state: Awaited<ReturnType<typeof readState>>,
  decision: Decision,
  { clerkId, source, eventId, actor, actionId }: Origin,
): Promise<Move[]> {
  const { outcome, fields, version } = decision;
  if (version === null) await removeVersions(ctx, clerkId);
  else if (version !== undefined) {
    if (state.version === null) await ctx.db.insert("clerkVersions", version);
    else await ctx.db.replace("clerkVersions", state.version._id, version);
  }
  const written = decision.row === null ? await removeRows(ctx, state, clerkId) : await writeRow(ctx, state, decision);
  if (isApplied(outcome)) {
    // A backfill may create many users. Its run writes one entry for them together, see backfill/runs.ts; and so does a
    // follower, see backfill/follow.ts. Nothing else may use this source for an upsert.
    if (fields !== undefined && !(source === "backfill" && outcome === "created")) {
      await addChange(ctx, { outcome, clerkId, fields, source, eventId, actor }, actionId);
    }
    for (const { userId, before } of written) {
      await onUserChange(ctx, { outcome, clerkId, userId, before, source });
    }
  }
  return written.map(({ before, after }) => ({ clerkId, before, after }));
}

// Finds out whether a webhook has brought what an action has done, before the service wrote it.
async function takeOverChange(ctx: MutationCtx, state: State, change: Change): Promise<void> {
  const updatedAt = change.type === "upsert" ? change.updatedAt : null;
  const isSame = (outcome: string) =>
    updatedAt === null ? outcome === "deleted" : versionOf(state)?.updatedAt === updatedAt;
  await takeOver(ctx, change.clerkId, change.actionId!, isSame);
}

function isApplied(outcome: Outcome): outcome is AppliedOutcome {
  return outcome === "created" || outcome === "updated" || outcome === "deleted";
}

// Removes the document of a Clerk id, and returns the number of documents: a table may have had two.
async function removeVersions(ctx: MutationCtx, clerkId: string): Promise<number> {
  const versions = await versionsOf(ctx, clerkId).collect();
  for (const { _id } of versions) await ctx.db.delete("clerkVersions", _id);
  return versions.length;
}

type Written = { userId: UserId | null; before: User | null; after: Row | null };

// Removes all rows of the user: if one stayed, it would be the user's row from now on.
async function removeRows(ctx: MutationCtx, { row }: { row: User | null }, clerkId: string): Promise<Written[]> {
  if (row === null) return [{ userId: null, before: null, after: null }];
  const rows = await usersOf(ctx, clerkId).collect();
  for (const before of rows) await ctx.db.delete(USERS, before._id);
  return rows.map((before) => ({ userId: before._id, before, after: null }));
}

async function writeRow(
  ctx: MutationCtx,
  state: { row: User | null; version: Doc<"clerkVersions"> | null },
  decision: Decision,
): Promise<Written[]> {
  if (decision.row === undefined || decision.row === null) return [];
  const { row: before } = state;
  const after = stateAfter(state, decision).row!;
  let userId = before?._id;
  if (userId === undefined) userId = await ctx.db.insert(USERS, after);
  else await ctx.db.patch(USERS, userId, decision.row);
  const isNewLock = before?.status !== "locked" || before.lockedUntil !== after.lockedUntil;
  if (after.status === "locked" && after.lockedUntil !== undefined && isNewLock) {
    await scheduleLockEnd(ctx, after.clerkId, after.lockedUntil);
  }
  return [{ userId, before, after }];
}

async function scheduleLockEnd(ctx: MutationCtx, clerkId: string, lockedUntil: number): Promise<void> {
  const time = Math.min(lockedUntil, Date.now() + LONGEST_DELAY_MS);
  await ctx.scheduler.runAt(time, functions().endLock, { clerkId, lockedUntil });
}
