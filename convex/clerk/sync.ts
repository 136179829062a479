// Changes into tables: reads what Convex has, lets the rules decide, writes what they say.
import type { Id } from "../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../_generated/server";
import { recordChange } from "./audit";
import { onUserChange } from "./onUserChange";
import { decide, follow, type Decision, type Row, type State } from "./rules";
import { readState } from "./state";
import { countMoves, type Move } from "./stats";
import type { Change, Outcome } from "./tables";

export async function syncChanges(ctx: MutationCtx, changes: Change[]): Promise<Outcome[]> {
  const states = await readStates(ctx, changes);
  const outcomes: Outcome[] = [];
  const moves: Move[] = [];
  for (const change of changes) {
    const state = states.get(change.clerkId) ?? (await readState(ctx, change.clerkId));
    const decision = decide(state, change);
    outcomes.push(decision.outcome);
    if (decision.row !== undefined || decision.version !== undefined) {
      await write(ctx, state, decision, change);
      moves.push({ clerkId: change.clerkId, before: state.row, after: follow(state, decision).row });
      states.delete(change.clerkId);
    }
  }
  await countMoves(ctx, moves);
  return outcomes;
}

// The outcomes that syncChanges would have, without a write.
export async function compareChanges(ctx: QueryCtx, changes: Change[]): Promise<Outcome[]> {
  const states: Map<string, State> = await readStates(ctx, changes);
  return changes.map((change) => {
    const state = states.get(change.clerkId)!;
    const decision = decide(state, change);
    states.set(change.clerkId, follow(state, decision));
    return decision.outcome;
  });
}

// Forgets a Clerk id: the row, the version, the tombstone. True if there was anything.
export async function resetUser(ctx: MutationCtx, clerkId: string): Promise<boolean> {
  const { row, version } = await readState(ctx, clerkId);
  if (row === null && version === null) return false;
  if (row !== null) await ctx.db.delete("users", row._id);
  if (version !== null) await ctx.db.delete("clerkVersions", version._id);
  await countMoves(ctx, [{ clerkId, before: row, after: null }]);
  await recordChange(ctx, { outcome: "reset", clerkId, fields: [], source: "manual" });
  return true;
}

async function readStates(ctx: QueryCtx, changes: Change[]) {
  const clerkIds = [...new Set(changes.map((change) => change.clerkId))];
  return new Map(await Promise.all(clerkIds.map(async (id) => [id, await readState(ctx, id)] as const)));
}

async function write(
  ctx: MutationCtx,
  { row: before, version }: Awaited<ReturnType<typeof readState>>,
  decision: Decision,
  change: Change,
): Promise<void> {
  if (decision.version !== undefined) {
    if (version === null) await ctx.db.insert("clerkVersions", decision.version);
    else await ctx.db.replace("clerkVersions", version._id, decision.version);
  }
  if (decision.row === undefined) return;

  let userId: Id<"users"> | null = before?._id ?? null;
  if (decision.row === null) {
    if (userId !== null) await ctx.db.delete("users", userId);
  } else if (userId === null) {
    userId = await ctx.db.insert("users", decision.row as Row);
  } else {
    await ctx.db.patch("users", userId, decision.row);
  }

  const { clerkId, source, eventId, actor } = change;
  const outcome = decision.outcome as "created" | "updated" | "deleted";
  // A backfill brings in a whole instance at once: who was created by it is told by the run, not row by row.
  if (decision.fields !== undefined && !(source === "backfill" && outcome === "created")) {
    await recordChange(ctx, { outcome, clerkId, fields: decision.fields, source, eventId, actor });
  }
  await onUserChange(ctx, { outcome, clerkId, userId, before, source });
}
