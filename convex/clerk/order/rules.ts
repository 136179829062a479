// The rules of order. They decide which change of a user wins, so that every order of arrival ends in the same row.
// This module is pure, and no other module decides.
//
// The stamp of a change is (updatedAt, observedAt), compared in that order. Both are times of Clerk's clock, never the
// time of arrival. So webhooks, retries, replays, duplicates and backfills may arrive in any order.
//
// The comparison leaves out three things:
// - lastSignInAt becomes the greatest value seen.
// - lockedUntil is computed from a countdown, so two reads of the same lock differ a little.
// - The columns for sorting and search are derived from the others. They are written again where an earlier version of
//   users/derived.ts left other values.
//
// A prune concludes from a 404 of Clerk that a user is deleted. Its stamp is the earliest time at which Clerk can have
// answered, and a row that was observed at that time or later stays, so a user who was just created is not removed. An
// event from the last seconds of a deleted user must not count as later. So the backfill asks twice and stamps with the
// second request, which starts after the first answer: everything that happened to the user is older.
import { compareValues, type Value } from "convex/values";
import { clerkColumns } from "../tables";
import type { Change, Delete, Outcome, Row, SignIn, Upsert, Version } from "../tables";
import { DERIVED, derived } from "../users/derived";

const MINUTE_MS = 60 * 1000;

type Stamp = Pick<Version, "updatedAt" | "observedAt">;

// The row that Convex has of one Clerk id, and its document in clerkVersions.
export type State = { row: Row | null; version: Version | null };

export type Decision = {
  outcome: Outcome;
  row?: Partial<Row> | null; // the patch for the row, or the new row; null: remove the row
  version?: Version | null; // the new document in clerkVersions; null: remove it
  // Names of the changed columns for the audit log, [] for a new row. undefined: no entry in the audit log.
  fields?: string[];
};

// Decides what a change does. `now`, by Convex's clock in Unix milliseconds, is used only to tell whether a lock has
// ended.
export function decide(state: State, change: Change, now: number): Decision {
  if (change.type === "delete") return decideDelete(state, change);
  return change.type === "signIn" ? decideSignIn(state, change) : decideUpsert(state, change, now);
}

// Decides the end of a lock at `lockedUntil`. A lock with another end, such as a later one, stays.
export function decideLockEnd({ row }: State, lockedUntil: number): Decision {
  if (row?.status !== "locked" || row.lockedUntil !== lockedUntil) return { outcome: "unchanged" };
  const patch = { status: "active" as const, lockedUntil: undefined };
  return { outcome: "updated", row: patch, fields: Object.keys(patch) };
}

// Decides what the first row of a user takes over from the other rows: the team's own columns that it lacks, and the
// latest sign-in. Clerk's columns stay, because changes were applied to the first row only.
export function decideMerge(first: Row, others: Row[]): Decision {
  const ours = new Set([...clerkColumns, "clerkId", "clerkStamp", ...DERIVED]);
  const own = (row: Row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith("_") && !ours.has(name)));
  const merged: Partial<Row> = Object.assign({}, ...[first, ...others].reverse().map(own));
  merged.lastSignInAt = others.reduce((time, other) => latest(time, other.lastSignInAt), first.lastSignInAt);
  const fields = difference(first, merged);
  return { outcome: fields.length > 0 ? "updated" : "unchanged", row: merged, fields };
}

// Returns the state after a decision, without a write.
export function stateAfter(state: State, { row, version }: Decision): State {
  const after = row === undefined ? state.row : row === null ? null : ({ ...state.row, ...row } as Row);
  return { row: after, version: version === undefined ? state.version : version };
}

// Returns the tombstone of a Clerk id, or the greatest stamp of what was applied; null: nothing was. Usually the row has
// it. A row that an earlier version of these functions wrote has none, and its document has it.
export function versionOf({ row, version }: State): Version | null {
  const stamp: unknown = row?.clerkStamp; // a row of a loose table may have something else
  const [updatedAt, observedAt]: unknown[] = Array.isArray(stamp) ? stamp : [];
  if (row === null || typeof updatedAt !== "number" || typeof observedAt !== "number") return version;
  const ofRow = { clerkId: row.clerkId, updatedAt, observedAt };
  if (version === null) return ofRow;
  return version.deletedAt !== undefined || compareStamps(version, ofRow) > 0 ? version : ofRow;
}

function compareStamps(one: Stamp, version: Stamp): number {
  return one.updatedAt - version.updatedAt || one.observedAt - version.observedAt;
}

function decideDelete(state: State, change: Delete): Decision {
  const { clerkId, observedAt } = change;
  const version = versionOf(state);
  // A deletion that Clerk announced is final. A backfill only concludes one, because the user is missing at Clerk.
  const pruned = change.source === "backfill" || undefined;
  const tombstone = { clerkId, updatedAt: version?.updatedAt ?? 0, observedAt, deletedAt: observedAt, pruned };
  if (version !== null && version.deletedAt !== undefined) {
    const stronger = version.pruned && (!pruned || observedAt > version.observedAt);
    return { outcome: "unchanged", ...(stronger && { version: tombstone }) };
  }
  if (pruned && version !== null && version.observedAt >= observedAt) return { outcome: "stale" };
  return { outcome: "deleted", row: null, version: tombstone, fields: [] };
}

// A sign-in creates no row, because its columns are not known. The user's own event or a backfill creates it.
function decideSignIn({ row, version }: State, change: SignIn): Decision {
  if (row === null) return { outcome: version?.deletedAt === undefined ? "ignored" : "tombstoned" };
  const lastSignInAt = latest(row.lastSignInAt, change.lastSignInAt);
  if (lastSignInAt === row.lastSignInAt) return { outcome: "unchanged" };
  return { outcome: "updated", row: { lastSignInAt } };
}

function decideUpsert(state: State, change: Upsert, now: number): Decision {
  const { row } = state;
  const version = versionOf(state);
  const { clerkId, updatedAt, observedAt, source } = change;
  const clerkStamp = [updatedAt, observedAt];
  const gone = version !== null && version.deletedAt !== undefined;
  if (gone && !(version.pruned && observedAt >= version.observedAt)) return { outcome: "tombstoned" };

  const { lastSignInAt: signInAt, ...columns } = change.columns;
  const lastSignInAt = latest(row?.lastSignInAt, signInAt ?? undefined);
  const isLaterSignIn = lastSignInAt !== row?.lastSignInAt;
  const patch = withoutJitter(row, withoutEndedLock(withoutNulls(columns), now), source, now);
  const content = difference(row ?? {}, patch);
  const fields = isLaterSignIn ? [...content, "lastSignInAt"] : content;
  const whole = withDerived({ ...row, clerkId }, { ...patch, lastSignInAt });

  if (row === null || version === null || gone) {
    return {
      outcome: "created",
      row: { clerkId, ...whole, clerkStamp },
      // A tombstone is lifted. Any other document is of a row that somebody removed, and may have a greater stamp.
      ...(state.version !== null && { version: null }),
      fields: row === null ? [] : fields,
    };
  }
  const order = compareStamps(change, version);
  const isNewer = order > 0 || (order === 0 && content.length > 0 && isGreater(patch, row));
  if (isNewer && content.length > 0) return { outcome: "updated", row: { ...whole, clerkStamp }, fields };

  // The newer stamp is kept although no column changes. Otherwise a change between the two stamps could still win. The
  // exception lets a nightly backfill of unchanged users write nothing.
  const keepsStamp = source === "backfill" && updatedAt === version.updatedAt && !isLaterSignIn;
  const hasNewStamp = isNewer && !keepsStamp;
  const rest = { ...outdated(row), ...(isLaterSignIn && { lastSignInAt }) };
  const isWritten = Object.keys(rest).length > 0;
  return {
    outcome: isLaterSignIn ? "updated" : isNewer || content.length === 0 ? "unchanged" : "stale",
    ...(isWritten && { row: { ...rest, ...(hasNewStamp && { clerkStamp }) } }),
    // A row that is not written keeps its stamp, because a write would run the list queries again.
    ...(hasNewStamp && !isWritten && { version: { clerkId, updatedAt, observedAt } }),
  };
}

// The columns that a change names. undefined unsets a column.
type Columns = Pick<Row, "status" | "createdAt"> & Partial<Row>;

// Replaces null, which unsets a column in a change, by undefined, which unsets it in a row.
function withoutNulls(columns: Omit<Upsert["columns"], "lastSignInAt">): Columns {
  const values = Object.entries(columns).map(([name, value]) => [name, value ?? undefined]);
  return Object.fromEntries(values) as Partial<Columns> as Columns;
}

// Replaces a lock that has ended by `now` by the status active. Only a locked user keeps a lockedUntil.
function withoutEndedLock(columns: Columns, now: number): Columns {
  const { status, lockedUntil } = columns;
  if (status !== "locked") return { ...columns, lockedUntil: undefined };
  if (lockedUntil === undefined || !(lockedUntil <= now)) return columns;
  return { ...columns, status: "active", lockedUntil: undefined };
}

// Keeps the row's values where the change differs only because two clocks differ: the end of the same lock, and for a
// backfill also the status while a lock ends within a minute of `now`.
function withoutJitter(row: Row | null, columns: Columns, source: Upsert["source"], now: number): Columns {
  if (row === null) return columns;
  const isEnding = [row, columns].some((one) => one.status === "locked" && isWithinMinute(one.lockedUntil, now));
  const isActive = [row, columns].some((one) => one.status === "active");
  if (source === "backfill" && isEnding && isActive) {
    return { ...columns, status: row.status, lockedUntil: row.lockedUntil };
  }
  return isWithinMinute(row.lockedUntil, columns.lockedUntil) ? { ...columns, lockedUntil: row.lockedUntil } : columns;
}

function isWithinMinute(one: number | undefined, other: number | undefined): boolean {
  return one !== undefined && other !== undefined && Math.abs(one - other) <= MINUTE_MS;
}

function withDerived(row: Partial<Row> & { clerkId: string }, patch: Columns): Columns {
  return { ...patch, ...derived({ ...row, ...patch }) };
}

// Returns the derived columns whose values in the row are outdated, with the values they should have.
function outdated(row: Row): Partial<Row> {
  const columns = Object.entries(derived(row));
  return Object.fromEntries(columns.filter(([name, value]) => row[name as keyof Row] !== value));
}

// Returns the names of the columns of a patch that change the row.
function difference(row: Partial<Row>, patch: Partial<Row>): string[] {
  const names = Object.keys(patch) as (keyof Row)[];
  return names.filter((name) => compareValues(row[name] as Value, patch[name] as Value) !== 0);
}

// Compares a patch and a row with equal stamps: returns whether the patch wins. The answer must not depend on the order
// of arrival, nor on whether a lock has ended meanwhile. So both are first compared as they are after their locks have
// ended.
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

// Returns the row as it is after its lock has ended, if the end is known.
function withoutLock(row: Row): Row {
  return row.lockedUntil === undefined ? row : { ...row, status: "active", lockedUntil: undefined };
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  // A row of a loose table may have something else than a time.
  return typeof one !== "number" || (other !== undefined && other > one) ? other : one;
}
