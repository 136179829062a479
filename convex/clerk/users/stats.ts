// Counts users by status, and sign-ups by day. Each mutation that changes users hands in the changes of its rows.
import { ConvexError, v, type Infer } from "convex/values";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { USERS } from "../module";
import { STATUSES, type Status } from "../tables";
import { startFirst } from "./rebuild";
import { addTo, dayOf, monthOf, tally, type Move } from "./tally";
import { insertDeltas, readFolded, readState, readUnfolded } from "./totals";

const DAYS = 30;
const DAY_MS = 24 * 60 * 60 * 1000;

export const usersStats = v.object({
  total: v.number(),
  ...forEachStatus(() => v.number()),
  days: v.array(v.object({ day: v.string(), signUps: v.number() })), // days in UTC, the oldest first
  rebuilding: v.boolean(), // true: some users may not be counted yet
});

// Updates the counts. A mutation calls it once, at its end, with all rows that it changed.
export async function countMoves(ctx: MutationCtx, moves: Move[]): Promise<void> {
  const counting = moves.filter((move) => tally([move]).size > 0);
  if (counting.length === 0) return;
  const state = (await readState(ctx)) ?? (await startFirst(ctx, counting));
  if (state !== null) await insertDeltas(ctx, state, counting);
}

// Returns the counts, and the sign-ups of the 30 days up to `today` (a UTC day such as 2026-11-22).
export async function readStats(ctx: QueryCtx, today?: string): Promise<Infer<typeof usersStats>> {
  const days = lastDays(today);
  const state = await readState(ctx);
  if (state === null) {
    // Nothing has been counted, which is correct only for an empty table.
    return shown(new Map(), days, (await ctx.db.query(USERS).first()) !== null);
  }
  // The first generation is shown while it is being counted.
  const generation = state.generation || (state.next ?? 0);
  const counts = await readFolded(ctx, generation, monthOf(days[0]!), monthOf(days[DAYS - 1]!));
  addTo(counts, await readFolded(ctx, generation, "status", "status"));
  const { changes, isAll } = await readUnfolded(ctx, state, generation);
  addTo(counts, changes);
  return shown(counts, days, state.next !== undefined || !isAll);
}

function shown(counts: ReadonlyMap<string, number>, days: string[], rebuilding: boolean): Infer<typeof usersStats> {
  const byStatus = forEachStatus((status) => counts.get(status) ?? 0);
  const total = Object.values(byStatus).reduce((sum, count) => sum + count, 0);
  return { total, ...byStatus, days: days.map((day) => ({ day, signUps: counts.get(day) ?? 0 })), rebuilding };
}

function forEachStatus<Value>(valueOf: (status: Status) => Value): Record<Status, Value> {
  return Object.fromEntries(STATUSES.map((status) => [status, valueOf(status)])) as Record<Status, Value>;
}

function lastDays(today: string | undefined): string[] {
  const last = today === undefined ? Date.now() : Date.parse(`${today}T00:00:00Z`);
  const isDay = today === undefined || (last >= DAYS * DAY_MS && dayOf(last) === today);
  if (!isDay) throw new ConvexError("today is not a day. It must be a UTC day such as 2026-11-22.");
  return Array.from({ length: DAYS }, (_, index) => dayOf(last - (DAYS - 1 - index) * DAY_MS));
}
