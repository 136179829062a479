// Reads users in the order of a column. Each order has one index, which begins with the status: an index is written with
// every row, and a second one for all users would cost as much again. So the list of all users is merged from the lists
// of the few statuses.
import { compareValues, type Value } from "convex/values";
import type { QueryCtx } from "../../_generated/server";
import { USERS, type User } from "../module";
import { STATUSES, type Status } from "../tables";

// For each column by which users are sorted, its index. Users without a value come first in ascending order and last in
// descending order.
const INDEXES = {
  createdAt: "by_status_and_created_at",
  lastSignInAt: "by_status_and_last_sign_in_at",
  sortEmail: "by_status_and_sort_email",
  sortName: "by_status_and_sort_name",
} as const;

const MOST_CHANGES = 128; // of the list that is read in a merge: more than a page of 100 rows has

export type Field = keyof typeof INDEXES;
export type Order = "asc" | "desc";

// The position of a row in a list: the value of the column, the creation time and the id. It does not depend on the
// status, so a row whose status changes keeps its place in the list of all users.
export type Key = [value: Value | undefined, creationTime: number, id: string];

export type Sorted = {
  field: Field;
  order: Order;
  from?: Value; // the least value, and the value that all values are less than
  before?: Value;
};

// A part of a list: the rows behind `after`, up to `until` and including it.
export type Span = { after: Key | null; until: Key | null };

export function keyOf(user: User, field: Field): Key {
  return [user[field], user._creationTime, user._id];
}

// Compares two positions in a list that is sorted in `order`.
export function compareKeys(one: Key, other: Key, order: Order): number {
  for (const [index, value] of one.entries()) {
    const difference = compareValues(value, other[index]);
    if (difference !== 0) return order === "asc" ? difference : -difference;
  }
  return 0;
}

// Returns the first `most` users of a part of a list, of one status or of all.
export async function readSorted(
  ctx: QueryCtx,
  sorted: Sorted,
  status: Status | undefined,
  span: Span,
  most: number,
): Promise<User[]> {
  return status === undefined
    ? await merge(ctx, sorted, span, most)
    : await readStatus(ctx, sorted, status, span, most);
}

// Merges the lists of the statuses. It reads the next row of each, and then from one list all rows up to the next row of
// another. So it reads few rows more than it returns while neighbours have the same status, and of a page never more
// than twice as many and one for each status. Each change of the list reads some ranges of an index, of which Convex
// allows a query 4,096. So after many of them the rest of each list is read at once.
async function merge(ctx: QueryCtx, sorted: Sorted, span: Span, most: number): Promise<User[]> {
  const positionOf = (user: User) => keyOf(user, sorted.field);
  const readNext = async (status: Status, after: Key | null) => {
    const [user] = await readStatus(ctx, sorted, status, { after, until: span.until }, 1);
    return user === undefined ? [] : [{ status, user }];
  };
  let next = (await Promise.all(STATUSES.map((status) => readNext(status, span.after)))).flat();
  const merged: User[] = [];
  for (let changes = 0; changes < MOST_CHANGES; changes++) {
    next.sort((one, other) => compareKeys(positionOf(one.user), positionOf(other.user), sorted.order));
    const [first, second] = next;
    if (first === undefined) return merged;
    const until = second === undefined ? span.until : positionOf(second.user);
    const run = { after: positionOf(first.user), until };
    merged.push(first.user, ...(await readStatus(ctx, sorted, first.status, run, most - merged.length - 1)));
    if (second === undefined || merged.length === most) return merged;
    next = [...next.slice(1), ...(await readNext(first.status, until))];
  }
  const last = merged[merged.length - 1]!;
  const rest = { after: positionOf(last), until: span.until };
  const lists = await Promise.all(
    STATUSES.map((status) => readStatus(ctx, sorted, status, rest, most - merged.length)),
  );
  const users = lists.flat().sort((one, other) => compareKeys(positionOf(one), positionOf(other), sorted.order));
  return [...merged, ...users].slice(0, most);
}

// IndexRangeBuilder of convex/server, without the types of a certain index.
type Range = {
  eq(field: string, value: Value | undefined): Range;
  gt(field: string, value: Value | undefined): Range;
  gte(field: string, value: Value | undefined): Range;
  lt(field: string, value: Value | undefined): Range;
};
type Part = { isTie: boolean; of: (range: Range) => Range };

// Returns the first `most` users of a part of the list of one status.
async function readStatus(
  ctx: QueryCtx,
  sorted: Sorted,
  status: Status,
  span: Span,
  most: number,
): Promise<User[]> {
  const { field, order } = sorted;
  const found: User[] = [];
  for (const { isTie, of } of partsOf(sorted, span)) {
    if (found.length >= most) break;
    const part = ctx.db
      .query(USERS)
      .withIndex(INDEXES[field], (range) => of((range as unknown as Range).eq("status", status)) as never)
      .order(order);
    // No range can name an id. The rows of one moment with the same value are few, so all of them are read.
    const users = isTie ? (await part.collect()).filter((user) => isWithin(keyOf(user, field), span, order)) : null;
    found.push(...(users ?? (await part.take(most - found.length))));
  }
  return found.slice(0, most);
}

function isWithin(key: Key, { after, until }: Span, order: Order): boolean {
  return (
    (after === null || compareKeys(key, after, order) > 0) && (until === null || compareKeys(key, until, order) <= 0)
  );
}

// Splits a part of a list into ranges of its index, in the order of the list: a range has all its fields but the last
// one equal.
function partsOf({ field, order, from, before }: Sorted, { after, until }: Span): Part[] {
  const [low, high] = order === "asc" ? [after, until] : [until, after];
  const tie = ([value, time]: Key): Part => ({
    isTie: true,
    of: (range) => range.eq(field, value).eq("_creationTime", time),
  });
  const range = (of: Part["of"]): Part => ({ isTie: false, of });

  const parts: Part[] = [];
  if (low !== null && high !== null && compareValues(low[0], high[0]) === 0) {
    const [[value, start], [, end]] = [low, high];
    parts.push(tie(low));
    if (start !== end) {
      parts.push(range((it) => it.eq(field, value).gt("_creationTime", start).lt("_creationTime", end)), tie(high));
    }
  } else {
    if (low !== null) parts.push(tie(low), range((it) => it.eq(field, low[0]).gt("_creationTime", low[1])));
    parts.push(
      range((it) => {
        const above = low !== null ? it.gt(field, low[0]) : from !== undefined ? it.gte(field, from) : it;
        return high !== null ? above.lt(field, high[0]) : before !== undefined ? above.lt(field, before) : above;
      }),
    );
    if (high !== null) parts.push(range((it) => it.eq(field, high[0]).lt("_creationTime", high[1])), tie(high));
  }
  return order === "asc" ? parts : parts.reverse();
}
