// Finds Clerk ids that have several rows, and merges their rows into the first.
import { v } from "convex/values";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { addEntry } from "../audit/entries";
import { USERS } from "../module";
import { onUserChange } from "../onUserChange";
import { usersOf, versionsOf } from "../state";
import { countMoves } from "../users/stats";
import type { Move } from "../users/tally";
import { decideMerge } from "./rules";

const SCANNED = 500; // rows that one query reads
const REPAIRED = 100; // Clerk ids that one mutation repairs, and rows that it reads of each

export const duplicates = v.object({ clerkIds: v.array(v.string()), cursor: v.nullable(v.string()) });
export const repairs = v.array(v.object({ clerkId: v.string(), removed: v.number() }));

// Returns the Clerk ids with several rows among the next rows of the table. The cursor is the last Clerk id that was
// read; it is null before the first part of the table and after the last.
export async function findDuplicates(ctx: QueryCtx, cursor: string | null) {
  const rows = await ctx.db
    .query(USERS)
    .withIndex("by_clerk_id", (q) => q.gt("clerkId", cursor ?? "")) // not the rows without a Clerk id
    .take(SCANNED);
  const seen = new Map<string, number>();
  for (const { clerkId } of rows) seen.set(clerkId, (seen.get(clerkId) ?? 0) + 1);
  const all = [...seen.keys()];
  const isEnd = rows.length < SCANNED;
  // The last Clerk id may have more rows, so it is left to the next call, unless it is the only one.
  if (!isEnd && all.length > 1) all.pop();
  return {
    clerkIds: all.filter((clerkId) => seen.get(clerkId)! > 1),
    cursor: isEnd ? null : all[all.length - 1]!,
  };
}

// Merges the rows of each Clerk id into the first, and returns how many rows were removed. The audit log names each
// removed row, and the columns that the first row took over.
export async function repairDuplicates(ctx: MutationCtx, clerkIds: string[]) {
  if (clerkIds.length > REPAIRED) throw new Error(`clerkIds has ${clerkIds.length} ids: send at most ${REPAIRED}.`);
  const moves: Move[] = [];
  const repaired: { clerkId: string; removed: number }[] = [];
  for (const clerkId of clerkIds) {
    const [first, ...others] = await usersOf(ctx, clerkId).take(REPAIRED);
    const [, ...versions] = await versionsOf(ctx, clerkId).take(REPAIRED);
    for (const version of versions) await ctx.db.delete("clerkVersions", version._id);
    repaired.push({ clerkId, removed: others.length });
    if (first === undefined || others.length === 0) continue;

    const { outcome, row, fields = [] } = decideMerge(first, others);
    for (const other of others) {
      await ctx.db.delete(USERS, other._id);
      await addEntry(ctx, { outcome: "merged", clerkId, fields: [], source: "manual" });
      await onUserChange(ctx, { outcome: "merged", clerkId, userId: first._id, before: other, source: "manual" });
      moves.push({ clerkId, before: other, after: null });
    }
    if (outcome !== "updated") continue;
    await ctx.db.patch(USERS, first._id, row!);
    await addEntry(ctx, { outcome, clerkId, fields, source: "manual" });
    await onUserChange(ctx, { outcome, clerkId, userId: first._id, before: first, source: "manual" });
  }
  await countMoves(ctx, moves);
  return repaired;
}
