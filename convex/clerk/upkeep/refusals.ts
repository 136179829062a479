// The ledger of refused changes: those that these functions refused, because onUserChange threw for example, and users
// whom the service could not read. One document per Clerk id says why and how often, without a value of the user. It is
// deleted by the first change of that user that is accepted and that Clerk made at the same time or later.
import { paginationResultValidator, type PaginationOptions } from "convex/server";
import { v, type Infer } from "convex/values";
import type { Doc } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { versionOf } from "../order/rules";
import { readState } from "../state";
import { clerkTables, type Change } from "../tables";

const MOST = 10_000; // documents that are kept; Convex allows 32,000 documents read
const BATCH = 1000; // documents beyond that which one transaction deletes
const RECORDED = 500; // refusals that one transaction records
const COUNTED = 1000; // documents that are counted
const LONGEST_REASON = 500; // characters
const SHOWN = 20;

const fields = clerkTables.clerkRefusals.validator;

export const refused = fields.omit("firstAt", "lastAt");
export const refusal = fields.omit("observedAt");

export const latestRefusals = v.object({
  count: v.number(), // of users
  isMore: v.boolean(), // true: there are more than `count`
  latest: v.array(refusal), // the first of them, the latest one first
});

export const refusedUsers = paginationResultValidator(v.string());

// Records refused changes. A change that Convex has made good meanwhile, with a state that Clerk read at the same time
// or later, is left out: this call may arrive after a retry of the change has succeeded.
export async function recordRefusals(ctx: MutationCtx, refusals: Infer<typeof refused>[]): Promise<void> {
  if (refusals.length > RECORDED) throw new Error(`${refusals.length} refusals: send at most ${RECORDED}.`);
  const now = Date.now();
  for (const { clerkId, observedAt, count, source, eventId, reason } of refusals) {
    const [state, known] = await Promise.all([readState(ctx, clerkId), readRefusal(ctx, clerkId)]);
    const version = versionOf(state);
    if (observedAt > 0 && version !== null && version.observedAt >= observedAt) continue;
    const last = { source, eventId, reason: reason.slice(0, LONGEST_REASON), lastAt: now };
    if (known === null) {
      await ctx.db.insert("clerkRefusals", { clerkId, observedAt, count, firstAt: now, ...last });
    } else {
      const whole = { observedAt: Math.max(observedAt, known.observedAt), count: known.count + count };
      await ctx.db.patch("clerkRefusals", known._id, { ...whole, ...last });
    }
  }
}

// Deletes the refusals that accepted changes have made good. While nothing is refused, it reads an empty table once per
// transaction, and nothing for each change.
export async function settleRefusals(ctx: MutationCtx, changes: Change[]): Promise<void> {
  if (changes.length === 0 || (await ctx.db.query("clerkRefusals").first()) === null) return;
  const seen = new Map<string, number>();
  for (const change of changes) {
    const observedAt = change.type === "signIn" ? 0 : change.observedAt;
    seen.set(change.clerkId, Math.max(observedAt, seen.get(change.clerkId) ?? 0));
  }
  const settle = async ([clerkId, observedAt]: [string, number]) => {
    const known = await readRefusal(ctx, clerkId);
    if (known !== null && known.observedAt <= observedAt) await ctx.db.delete("clerkRefusals", known._id);
  };
  await Promise.all([...seen].map(settle));
}

// Deletes the refusal of a user. Returns whether there was one.
export async function dropRefusal(ctx: MutationCtx, clerkId: string): Promise<boolean> {
  const known = await readRefusal(ctx, clerkId);
  if (known !== null) await ctx.db.delete("clerkRefusals", known._id);
  return known !== null;
}

// Deletes a batch of the oldest refusals if there are too many. Returns whether there may be more of them.
export async function pruneRefusals(ctx: MutationCtx): Promise<boolean> {
  const latest = await byTime(ctx).take(MOST + BATCH);
  for (const { _id } of latest.slice(MOST)) await ctx.db.delete("clerkRefusals", _id);
  return latest.length === MOST + BATCH;
}

// Returns the number of refusals and the latest of them.
export async function readLatest(ctx: QueryCtx): Promise<Infer<typeof latestRefusals>> {
  const latest = await byTime(ctx).take(COUNTED + 1);
  return {
    count: Math.min(latest.length, COUNTED),
    isMore: latest.length > COUNTED,
    latest: latest.slice(0, SHOWN).map(shown),
  };
}

// Returns the same of one user.
export async function readOne(ctx: QueryCtx, clerkId: string): Promise<Infer<typeof latestRefusals>> {
  const known = await readRefusal(ctx, clerkId);
  return { count: known === null ? 0 : 1, isMore: false, latest: known === null ? [] : [shown(known)] };
}

// Returns a page of the Clerk ids.
export async function refusedPage(ctx: QueryCtx, paginationOpts: PaginationOptions) {
  const read = await ctx.db.query("clerkRefusals").paginate(paginationOpts);
  return { ...read, page: read.page.map(({ clerkId }) => clerkId) };
}

export async function readRefusal(ctx: QueryCtx, clerkId: string) {
  const refusals = ctx.db.query("clerkRefusals").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
  return await refusals.first();
}

export function shown(row: Doc<"clerkRefusals">): Infer<typeof refusal> {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- names the columns to omit
  const { _id, _creationTime, observedAt, ...rest } = row;
  return rest;
}

function byTime(ctx: QueryCtx) {
  return ctx.db.query("clerkRefusals").withIndex("by_last_at").order("desc");
}
