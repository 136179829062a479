// Lets one of many followers work at a time, and keeps how far they have read. Nothing here reads or writes users.
//
// The lease expires by Convex's clock, so a follower that was killed is replaced, whatever the clocks of the machines.
import { v, type Infer } from "convex/values";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { addEntry } from "../audit/entries";
import { followed } from "../tables";
import { readStats } from "../users/stats";

const LONGEST_MS = 24 * 60 * 60 * 1000; // of a lease
const KEPT = 10; // followers whose created users are remembered, those that were last to create some

export const followLease = v.object({
  held: v.boolean(), // false: another follower holds the lease
  expiresIn: v.number(), // milliseconds until the lease of the holder ends
  age: v.nullable(v.number()), // milliseconds since a follower last finished a pass
  followed: v.nullable(followed), // null: none ever did
});

export const countedUsers = v.object({
  total: v.number(),
  rebuilding: v.boolean(), // true: some users may not be counted yet
});

export const lastFollow = v.object({
  at: v.number(), // when a follower last finished a pass
  every: v.number(), // milliseconds between its passes
});

type Wanted = {
  holder: string; // one process's own name
  ms: number; // how long to hold the lease; 0 releases it
  pass: { followed: Infer<typeof followed>; every: number } | null; // a pass that is finished
  created: number; // users that the holder has created since it started, in passes that are over
};

// Takes, renews or releases the lease. The holder also saves here what its last pass has reached.
export async function lease(ctx: MutationCtx, { holder, ms, pass, created }: Wanted): Promise<Infer<typeof followLease>> {
  const now = Date.now();
  const known = await readFollow(ctx);
  const recorded = await recordCreated(ctx, known?.recorded ?? [], holder, created);
  const isFree = known === null || known.holder === holder || known.expiresAt <= now;
  if (!isFree) {
    if (recorded !== null) await ctx.db.patch("clerkFollow", known._id, { recorded });
    return answer(false, known, now);
  }
  const lasts = Math.min(Math.max(ms, 0), LONGEST_MS);
  // What somebody else may have reached since is not overwritten by a late pass.
  const isMine = known?.holder === holder;
  const done = pass !== null && isMine ? { followed: pass.followed, every: pass.every, finishedAt: now } : {};
  const lease = { holder, expiresAt: now + lasts, ...done };
  const news = recorded === null ? {} : { recorded };
  if (known === null) await ctx.db.insert("clerkFollow", { ...lease, ...news });
  else await ctx.db.patch("clerkFollow", known._id, isMine || lasts > 0 ? { ...lease, ...news } : news);
  return answer(lasts > 0, { ...known, ...lease }, now);
}

// As a backfill does: writes one entry for all users that a follower has created since it last called, also if a pass
// failed or has lost the lease. Returns what to remember, so that a call that is repeated writes no second entry.
async function recordCreated(ctx: MutationCtx, recorded: Recorded, holder: string, created: number) {
  const count = created - (recorded.find((one) => one.holder === holder)?.created ?? 0);
  if (count <= 0) return null;
  await addEntry(ctx, { outcome: "created", count, fields: [], source: "backfill" });
  return [...recorded.filter((one) => one.holder !== holder), { holder, created }].slice(-KEPT);
}

// Returns the number of rows, which a follower compares with the number of Clerk's users.
export async function countUsers(ctx: QueryCtx): Promise<Infer<typeof countedUsers>> {
  const { total, rebuilding } = await readStats(ctx);
  return { total, rebuilding };
}

// Returns when a follower last finished a pass, or null if none ever did.
export async function readLastFollow(ctx: QueryCtx): Promise<Infer<typeof lastFollow> | null> {
  const known = await readFollow(ctx);
  return known?.finishedAt === undefined ? null : { at: known.finishedAt, every: known.every ?? 0 };
}

async function readFollow(ctx: QueryCtx) {
  return await ctx.db.query("clerkFollow").first();
}

type Recorded = { holder: string; created: number }[];
type Known = { expiresAt: number; finishedAt?: number; followed?: Infer<typeof followed> };

function answer(held: boolean, { expiresAt, finishedAt, followed }: Known, now: number) {
  const age = finishedAt === undefined ? null : now - finishedAt;
  return { held, expiresIn: Math.max(0, expiresAt - now), age, followed: followed ?? null };
}
