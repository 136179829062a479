// Compares a page of Clerk's users with the rows of the same part of the table. Reads each row and each version once,
// and writes nothing. The nightly run calls it: rows that no user of the page has are the ones to ask Clerk for.
import { v, type Infer } from "convex/values";
import type { QueryCtx } from "../../_generated/server";
import { USERS, type User } from "../module";
import { decide } from "../order/rules";
import { readState, usersOf } from "../state";
import { outcome, STATUSES, type Change } from "../tables";
import { readRefusal } from "../upkeep/refusals";

const SPARE = 500; // rows that a part may have more than the page has users

// The rows by their createdAt. null: no bound, so that rows without a createdAt are in a part too.
export const createdRange = v.object({
  after: v.nullable(v.number()), // exclusive
  upTo: v.nullable(v.number()), // inclusive
});

export const compared = v.object({
  outcomes: v.array(outcome), // what syncUsers would return for each change
  toWrite: v.array(v.number()), // the positions of the changes for which it would write something, or settle a refusal
  adopted: v.array(v.number()), // the positions of those that are `created` although there is a row already
  others: v.array(v.string()), // the Clerk ids in this part that no change has
  duplicates: v.array(v.string()), // Clerk ids with several rows
  unlinked: v.array(v.id(USERS)), // rows without a Clerk id
  rows: v.number(), // with a Clerk id
});

type Range = Infer<typeof createdRange>;

// Returns how the changes and the rows of a part compare, or null if the part has too many rows. Without a range the
// part is the rows with a status that is none of ours, as a table that existed before may have.
export async function compareRange(ctx: QueryCtx, changes: Change[], range: Range | null) {
  const now = Date.now();
  const rows = await readRows(ctx, range, changes.length + SPARE);
  if (rows === null) return null;
  const found = new Map<string, User[]>();
  const unlinked: User["_id"][] = [];
  for (const row of rows) {
    if (typeof row.clerkId !== "string" || row.clerkId === "") unlinked.push(row._id);
    else found.set(row.clerkId, [...(found.get(row.clerkId) ?? []), row]);
  }
  const duplicates = new Set<string>();
  const areRefused = (await ctx.db.query("clerkRefusals").first()) !== null;
  const decisions = changes.map(async (change) => {
    // The row of a user may be in another part, for example because somebody has changed its createdAt.
    const users = found.get(change.clerkId) ?? (await usersOf(ctx, change.clerkId).take(2));
    if (users.length > 1) duplicates.add(change.clerkId);
    const hasRefusal = areRefused && (await readRefusal(ctx, change.clerkId)) !== null;
    const decision = decide(await readState(ctx, change.clerkId, oldest(users)), change, now);
    return { ...decision, hasRow: users.length > 0, hasRefusal };
  });
  const decided = await Promise.all(decisions);
  const wanted = new Set(changes.map((change) => change.clerkId));
  const others = [...found.keys()].filter((clerkId) => !wanted.has(clerkId));
  const several = others.map(async (clerkId) => {
    if ((await usersOf(ctx, clerkId).take(2)).length > 1) duplicates.add(clerkId);
  });
  await Promise.all(several);
  return {
    outcomes: decided.map((decision) => decision.outcome),
    toWrite: [...decided.keys()].filter((index) => {
      const { row, version, hasRefusal } = decided[index]!;
      return row !== undefined || version !== undefined || hasRefusal;
    }),
    adopted: [...decided.keys()].filter((index) => decided[index]!.outcome === "created" && decided[index]!.hasRow),
    others,
    duplicates: [...duplicates],
    unlinked,
    rows: rows.length - unlinked.length,
  };
}

// Returns the rows of a part, or null if there are more than `most`.
async function readRows(ctx: QueryCtx, range: Range | null, most: number): Promise<User[] | null> {
  const rows: User[] = [];
  const parts = range === null ? withoutStatus(ctx) : STATUSES.map((status) => withStatus(ctx, status, range));
  for (const part of parts) {
    rows.push(...(await part.take(most + 1 - rows.length)));
    if (rows.length > most) return null;
  }
  return rows;
}

function withStatus(ctx: QueryCtx, status: User["status"], { after, upTo }: Range) {
  return ctx.db.query(USERS).withIndex("by_status_and_created_at", (q) => {
    const all = q.eq("status", status);
    const later = after === null ? all : all.gt("createdAt", after);
    return upTo === null ? later : later.lte("createdAt", upTo);
  });
}

// Returns the rows before, between and after those with one of our statuses.
function withoutStatus(ctx: QueryCtx) {
  const statuses = [...STATUSES].sort();
  return [undefined, ...statuses].map((status, index) =>
    ctx.db.query(USERS).withIndex("by_status_and_created_at", (q) => {
      const next = statuses[index];
      if (status === undefined) return q.lt("status", next!);
      return next === undefined ? q.gt("status", status) : q.gt("status", status).lt("status", next);
    }),
  );
}

function oldest(users: User[]): User | null {
  return users.reduce<User | null>((one, other) => {
    return one === null || other._creationTime < one._creationTime ? other : one;
  }, null);
}
