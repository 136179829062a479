// The rules of order: which change of a user wins, whatever the order of arrival. Pure; nothing else decides.
//
// A change is stamped with (updatedAt, observedAt), compared in that order: Clerk's times, never the time of
// arrival. So a webhook, a retry, a replay, a duplicate and a backfill in any order end in the same row.
//
// Three things are no part of that comparison. lastSignInAt becomes the greatest seen. lockedUntil is computed from a
// countdown and differs a little from one look at Clerk to the next. The columns that sorting and search need follow
// from the others, and are written anew wherever an earlier version of derived.ts has left other ones.
//
// A prune concludes from a 404 that a user is gone. Its stamp is the earliest time at which Clerk can have looked, so
// that no user who has just been created is removed: a row that was observed then or later stays. For an event of the
// user's last seconds not to count as later, the backfill looks twice. The stamp is the second look's, and that began
// after the first one was over: all that ever happened to the user was before it.
import type { WithoutSystemFields } from "convex/server";
import { compareValues, type Value } from "convex/values";
import type { Doc } from "../../_generated/dataModel";
import { derived } from "../users/derived";
import { clerkColumns, type Change, type Delete, type Outcome, type SignIn, type Upsert } from "../tables";

const MINUTE_MS = 60 * 1000;

export type Row = WithoutSystemFields<Doc<"users">>;
export type Version = WithoutSystemFields<Doc<"clerkVersions">>;

// What Convex has of one Clerk id.
export type State = { row: Row | null; version: Version | null };

export type Decision = {
  outcome: Outcome;
  row?: Partial<Row> | null; // patch the row with it, or create the row; null: remove it
  version?: Version; // replace the version by it
  fields?: string[]; // the names of the columns that changed, for the audit log
};

// `now` by Convex's clock, for locks that end by themselves.
export function decide(state: State, change: Change, now: number): Decision {
  if (change.type === "delete") return decideDelete(state, change);
  return change.type === "signIn" ? decideSignIn(state, change) : decideUpsert(state, change, now);
}

// A lock has come to its end: the one that ended then, and no later one.
export function decideLockEnd({ row }: State, lockedUntil: number): Decision {
  if (row?.status !== "locked" || row.lockedUntil !== lockedUntil) return { outcome: "unchanged" };
  const patch = { status: "active" as const, lockedUntil: undefined };
  return { outcome: "updated", row: patch, fields: Object.keys(patch) };
}

// What the first row of a user takes over from the others: the team's own columns that it lacks, and the latest
// sign-in. Clerk's columns are the first row's, because changes went there.
export function decideMerge(first: Row, others: Row[]): Decision {
  const ours = new Set([...clerkColumns, "clerkId", ...Object.keys(derived(first))]);
  const own = (row: Row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith("_") && !ours.has(name)));
  const merged: Partial<Row> = Object.assign({}, ...[first, ...others].reverse().map(own));
  merged.lastSignInAt = others.reduce((time, other) => latest(time, other.lastSignInAt), first.lastSignInAt);
  const fields = difference(first, merged);
  return { outcome: fields.length > 0 ? "updated" : "unchanged", row: merged, fields };
}

// The state after a decision, for who only wants to know.
export function follow(state: State, { row, version }: Decision): State {
  const after = row === undefined ? state.row : row === null ? null : ({ ...state.row, ...row } as Row);
  return { row: after, version: version ?? state.version };
}

function decideDelete({ version }: State, change: Delete): Decision {
  const { clerkId, observedAt } = change;
  // A backfill only concludes from a user's absence; Clerk's own word is final.
  const pruned = change.source === "backfill" || undefined;
  const tombstone = { clerkId, updatedAt: version?.updatedAt ?? 0, observedAt, deletedAt: observedAt, pruned };
  if (version !== null && version.deletedAt !== undefined) {
    const stronger = version.pruned && (!pruned || observedAt > version.observedAt);
    return { outcome: "unchanged", ...(stronger && { version: tombstone }) };
  }
  if (pruned && version !== null && version.observedAt >= observedAt) return { outcome: "stale" };
  return { outcome: "deleted", row: null, version: tombstone, fields: [] };
}

// It makes no row: what is known of the user would be too little. The user's own event does, or a backfill.
function decideSignIn({ row, version }: State, change: SignIn): Decision {
  if (row === null) return { outcome: version?.deletedAt === undefined ? "ignored" : "tombstoned" };
  const lastSignInAt = latest(row.lastSignInAt, change.lastSignInAt);
  if (lastSignInAt === row.lastSignInAt) return { outcome: "unchanged" };
  return { outcome: "updated", row: { lastSignInAt } };
}

function decideUpsert({ row, version }: State, change: Upsert, now: number): Decision {
  const { clerkId, updatedAt, observedAt, source } = change;
  const stamp = { clerkId, updatedAt, observedAt };
  const gone = version !== null && version.deletedAt !== undefined;
  if (gone && !(version.pruned && observedAt >= version.observedAt)) return { outcome: "tombstoned" };

  const { lastSignInAt: signInAt, ...columns } = change.columns;
  const lastSignInAt = latest(row?.lastSignInAt, signInAt ?? undefined);
  const isLaterSignIn = lastSignInAt !== row?.lastSignInAt;
  const patch = withoutJitter(row, withoutEndedLock(named(columns), now), source, now);
  const content = difference(row ?? {}, patch);
  const fields = isLaterSignIn ? [...content, "lastSignInAt"] : content;
  const whole = withDerived({ ...row, clerkId }, { ...patch, lastSignInAt });

  if (row === null || version === null || gone) {
    return { outcome: "created", row: { clerkId, ...whole }, version: stamp, fields };
  }
  const order = updatedAt - version.updatedAt || observedAt - version.observedAt;
  const isNewer = order > 0 || (order === 0 && content.length > 0 && isGreater(patch, row));
  if (isNewer && content.length > 0) return { outcome: "updated", row: whole, version: stamp, fields };

  // The stamp counts even so, or an older change could still come and win. The exception lets a nightly
  // backfill of unchanged users write nothing.
  const keepsStamp = source === "backfill" && updatedAt === version.updatedAt && !isLaterSignIn;
  const rest = { ...outdated(row), ...(isLaterSignIn && { lastSignInAt }) };
  return {
    outcome: isLaterSignIn ? "updated" : isNewer || content.length === 0 ? "unchanged" : "stale",
    ...(Object.keys(rest).length > 0 && { row: rest }),
    ...(isNewer && !keepsStamp && { version: stamp }),
  };
}

type Named = Pick<Row, "status" | "createdAt"> & Partial<Row>;

// The columns a change names, as the row keeps them (undefined: unset).
function named(columns: Omit<Upsert["columns"], "lastSignInAt">): Named {
  return Object.fromEntries(Object.entries(columns).map(([name, value]) => [name, value ?? undefined])) as Named;
}

// Only who is locked has an end of that, and it is still to come.
function withoutEndedLock(columns: Named, now: number): Named {
  const { status, lockedUntil } = columns;
  if (status !== "locked") return { ...columns, lockedUntil: undefined };
  if (lockedUntil === undefined || !(lockedUntil <= now)) return columns;
  return { ...columns, status: "active", lockedUntil: undefined };
}

// Leaves out of a change of a row what differs only because two clocks do: the end of the same lock, and for a backfill
// also whether a lock that ends within a minute has ended.
function withoutJitter(row: Row | null, columns: Named, source: Upsert["source"], now: number): Named {
  if (row === null) return columns;
  const isEnding = [row, columns].some((one) => one.status === "locked" && isWithinMinute(one.lockedUntil, now));
  const isOther = [row, columns].some((one) => one.status === "active");
  if (source === "backfill" && isEnding && isOther) {
    return { ...columns, status: row.status, lockedUntil: row.lockedUntil };
  }
  return isWithinMinute(row.lockedUntil, columns.lockedUntil) ? { ...columns, lockedUntil: row.lockedUntil } : columns;
}

function isWithinMinute(one: number | undefined, other: number | undefined): boolean {
  return one !== undefined && other !== undefined && Math.abs(one - other) <= MINUTE_MS;
}

function withDerived(row: Partial<Row> & { clerkId: string }, patch: Named): Named {
  return { ...patch, ...derived({ ...row, ...patch }) };
}

// Of the columns that are derived, those that the row has otherwise.
function outdated(row: Row): Partial<Row> {
  const now = Object.entries(derived(row));
  return Object.fromEntries(now.filter(([name, value]) => row[name as keyof Row] !== value));
}

function difference(row: Partial<Row>, patch: Partial<Row>): string[] {
  const names = Object.keys(patch) as (keyof Row)[];
  return names.filter((name) => compareValues(row[name] as Value, patch[name] as Value) !== 0);
}

// Two contents with the same stamp: one of them has to win, and the same one in every order of arrival, also before
// and after the end of a lock. So what each of them ends as is compared first.
function isGreater(patch: Partial<Row>, row: Row): boolean {
  const patched = { ...row, ...patch };
  const [one, other] = [withoutLock(patched), withoutLock(row)];
  const names = (Object.keys(patch) as (keyof Row)[]).sort();
  for (const name of names) {
    const order = compareValues(one[name] as Value, other[name] as Value);
    if (order !== 0) return order > 0;
  }
  return compareValues(patched.lockedUntil, row.lockedUntil) > 0;
}

function withoutLock(row: Row): Row {
  return row.lockedUntil === undefined ? row : { ...row, status: "active", lockedUntil: undefined };
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || (other !== undefined && other > one) ? other : one;
}
