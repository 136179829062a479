// Compares metadata, and makes the patch that Clerk needs for the difference. Clerk merges: nested objects are merged too, null
// removes a key, and any other value replaces.
import { isSame, write, type Json } from "./parse.ts";

export type JsonObject = Json & { kind: "object" };
// One key that differs, by its path. `before` is null if it is new, `after` if it is gone.
export type Change = { path: readonly string[]; before: Json | null; after: Json | null };

export const EMPTY: JsonObject = { kind: "object", members: new Map() };
const NULL: Json = { kind: "word", text: "null" };

// Returns the keys that differ, in the order of the texts: an object in both is compared key by key, and everything else
// as a whole.
export function changesOf(before: JsonObject, after: JsonObject, path: readonly string[] = []): Change[] {
  const keys = new Set([...before.members.keys(), ...after.members.keys()]);
  return [...keys].flatMap((key): Change[] => {
    const old = before.members.get(key) ?? null;
    const now = after.members.get(key) ?? null;
    const here = [...path, key];
    if (old?.kind === "object" && now?.kind === "object") return changesOf(old, now, here);
    if (old !== null && now !== null && isSame(old, now)) return [];
    return [{ path: here, before: old, after: now }];
  });
}

// Returns what Clerk must merge to get these changes.
export function patchOf(changes: readonly Change[]): string {
  let patch = EMPTY;
  for (const { path, after } of changes) patch = withValue(patch, path, after ?? NULL);
  return write(patch);
}

// Returns the object with the changes in it.
export function applied(value: JsonObject, changes: readonly Change[]): JsonObject {
  return changes.reduce((now, { path, after }) => withValue(now, path, after), value);
}

// Returns whether both have changed the same key or one within it, with another result.
export function areInConflict(mine: readonly Change[], theirs: readonly Change[]): boolean {
  const isWithin = (one: Change, other: Change) => other.path.every((key, at) => one.path[at] === key);
  return mine.some((one) =>
    theirs.some((other) => (isWithin(one, other) || isWithin(other, one)) && !isEqual(one, other)),
  );
}

// Returns the changes that the others do not have with the same result.
export function without(changes: readonly Change[], others: readonly Change[]): Change[] {
  return changes.filter((change) => !others.some((other) => isEqual(change, other)));
}

function isEqual(one: Change, other: Change): boolean {
  const isSamePath = one.path.length === other.path.length && one.path.every((key, at) => other.path[at] === key);
  if (!isSamePath || one.after === null || other.after === null) return isSamePath && one.after === other.after;
  return isSame(one.after, other.after);
}

// Returns the path of a null that Clerk would take for the removal of a key, or null. Within a list a null stays.
export function lostNull(changes: readonly Change[]): readonly string[] | null {
  const within = (value: Json, path: readonly string[]): readonly string[] | null => {
    if (value.kind === "word" && value.text === "null") return path;
    if (value.kind !== "object") return null;
    for (const [key, member] of value.members) {
      const found = within(member, [...path, key]);
      if (found !== null) return found;
    }
    return null;
  };
  for (const { path, after } of changes) {
    const found = after && within(after, path);
    if (found) return found;
  }
  return null;
}

function withValue(value: JsonObject, [key, ...rest]: readonly string[], wanted: Json | null): JsonObject {
  const members = new Map(value.members);
  const old = members.get(key!);
  const inner = rest.length === 0 ? wanted : withValue(old?.kind === "object" ? old : EMPTY, rest, wanted);
  if (inner === null) members.delete(key!);
  else members.set(key!, inner);
  return { kind: "object", members };
}

export function pathText(path: readonly string[]): string {
  return path.map((key) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key))).join(" / ");
}
