// The rules of order: which change of a user wins, whatever the order of arrival. Pure; nothing else decides.
//
// A change is stamped with (updatedAt, observedAt), compared in that order: Clerk's times, never the time of
// arrival. So a webhook, a retry, a replay, a duplicate and a backfill in any order end in the same row.
import type { WithoutSystemFields } from "convex/server";
import { compareValues, type Value } from "convex/values";
import type { Doc } from "../_generated/dataModel";
import { derived } from "./derived";
import type { Change, Delete, Outcome, Upsert } from "./tables";

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

export function decide(state: State, change: Change): Decision {
  return change.type === "delete" ? decideDelete(state, change) : decideUpsert(state, change);
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

function decideUpsert({ row, version }: State, change: Upsert): Decision {
  const { clerkId, updatedAt, observedAt, source } = change;
  const stamp = { clerkId, updatedAt, observedAt };
  const gone = version !== null && version.deletedAt !== undefined;
  if (gone && !(version.pruned && observedAt >= version.observedAt)) return { outcome: "tombstoned" };

  // lastSignInAt goes its own way: the greatest wins, whatever the stamps.
  const { lastSignInAt: signInAt, ...columns } = change.columns;
  const lastSignInAt = latest(row?.lastSignInAt, signInAt ?? undefined);
  const patch = withDerived({ ...row, clerkId }, columns);
  const differing = difference(row ?? {}, patch);
  if (lastSignInAt !== row?.lastSignInAt) differing.push("lastSignInAt");

  if (row === null || version === null || gone) {
    return { outcome: "created", row: { clerkId, ...patch, lastSignInAt }, version: stamp, fields: differing };
  }

  const content = differing.filter((name) => name !== "lastSignInAt");
  const order = updatedAt - version.updatedAt || observedAt - version.observedAt;
  if (order > 0 || (order === 0 && content.length > 0 && isGreater(patch, row))) {
    if (differing.length > 0) {
      return { outcome: "updated", row: { ...patch, lastSignInAt }, version: stamp, fields: differing };
    }
    // The stamp counts even so, or an older change could still come and win. The exception lets a nightly
    // backfill of unchanged users write nothing.
    const keepsStamp = source === "backfill" && updatedAt === version.updatedAt;
    return { outcome: "unchanged", ...(!keepsStamp && { version: stamp }) };
  }
  if (content.length < differing.length) return { outcome: "updated", row: { lastSignInAt } };
  return { outcome: content.length > 0 ? "stale" : "unchanged" };
}

// The columns a change names, as the row keeps them (undefined: unset), with those that are derived from them.
function withDerived(row: Partial<Row> & { clerkId: string }, columns: Omit<Upsert["columns"], "lastSignInAt">) {
  const named = Object.fromEntries(
    Object.entries(columns).map(([name, value]) => [name, value ?? undefined]),
  ) as Pick<Row, "status" | "createdAt"> & Partial<Row>;
  return { ...named, ...derived({ ...row, ...named }) };
}

function difference(row: Partial<Row>, patch: Partial<Row>): string[] {
  const names = Object.keys(patch) as (keyof Row)[];
  return names.filter((name) => compareValues(row[name] as Value, patch[name] as Value) !== 0);
}

// Two contents with the same stamp: one of them has to win, and the same one in every order of arrival.
function isGreater(patch: Partial<Row>, row: Row): boolean {
  const names = (Object.keys(patch) as (keyof Row)[]).sort();
  for (const name of names) {
    const order = compareValues(patch[name] as Value, row[name] as Value);
    if (order !== 0) return order > 0;
  }
  return false;
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || (other !== undefined && other > one) ? other : one;
}
