// Filters of the lists and searches of users. A range of the column that sorts the list is a range of its index. All
// other filters are looked for row by row, in a bounded number of rows for each page.
import { v, type Infer } from "convex/values";
import type { QueryCtx } from "../../_generated/server";
import { isWhole } from "../adopt/whole";
import type { User } from "../module";
import { STATUSES, status, type Status } from "../tables";
import { searchUsers } from "./search";
import { keyOf, readSorted, type Field, type Key, type Sorted, type Span } from "./sorted";

const SCANNED = 300; // rows that are looked at for one page, or for the count of one status
const COUNTED = 100; // users of a status that are counted

// Unix milliseconds. Without `from`, `before` alone still leaves out the users who have no such time.
const range = v.object({ from: v.optional(v.number()), before: v.optional(v.number()) });

export const userFilter = v.object({
  role: v.optional(v.string()), // "": users without a role
  verified: v.optional(v.boolean()), // whether the address is verified; without one it is not
  createdAt: v.optional(range),
  lastSignInAt: v.optional(v.nullable(range)), // null: users who have never signed in
});

export type UserFilter = Infer<typeof userFilter>;

export const usersSegments = v.array(v.object({ status, count: v.number(), isMore: v.boolean() }));

type Range = Infer<typeof range>;

// Returns the part of a list that its index can find, and whether the other rows have to be looked at one by one.
export function within(field: Field, order: Sorted["order"], filter: UserFilter): { sorted: Sorted; isScan: boolean } {
  const own = field === "createdAt" || field === "lastSignInAt" ? filter[field] : undefined;
  const others = [filter.role, filter.verified, filter.createdAt, filter.lastSignInAt].filter(
    (value) => value !== undefined && value !== own,
  );
  return { sorted: { field, order, ...boundsOf(own) }, isScan: others.length > 0 };
}

// Rows without a value come before all numbers.
function boundsOf(wanted: Range | null | undefined): Pick<Sorted, "from" | "before"> {
  if (wanted === undefined) return {};
  if (wanted === null) return { before: Number.NEGATIVE_INFINITY };
  return { from: wanted.from ?? Number.NEGATIVE_INFINITY, before: wanted.before };
}

// Returns whether a user passes the filter.
export function passes(user: User, { role, verified, createdAt, lastSignInAt }: UserFilter): boolean {
  return (
    (role === undefined || (user.role ?? "") === role) &&
    (verified === undefined || (user.emailVerified ?? false) === verified) &&
    isIn(user.createdAt, createdAt) &&
    isIn(user.lastSignInAt, lastSignInAt)
  );
}

function isIn(time: number | undefined, wanted: Range | null | undefined): boolean {
  if (wanted === undefined) return true;
  if (wanted === null) return time === undefined;
  const { from = Number.NEGATIVE_INFINITY, before = Number.POSITIVE_INFINITY } = wanted;
  return time !== undefined && time >= from && time < before;
}

// Returns the first `most` users of a part of a list who pass the filter, and how far it was looked: null if to the end.
// There may be fewer, even none, although more follow.
export async function readFiltered(
  ctx: QueryCtx,
  sorted: Sorted,
  ofStatus: Status | undefined,
  filter: UserFilter,
  { after, until }: Span,
  most: number,
): Promise<{ page: User[]; reached: Key | null }> {
  const page: User[] = [];
  let reached = after;
  let size = most;
  for (let left = SCANNED; left > 0; size *= 2) {
    const asked = Math.min(size, left);
    const rows = await readSorted(ctx, sorted, ofStatus, { after: reached, until }, asked);
    for (const row of rows) {
      reached = keyOf(row, sorted.field);
      if (isWhole(row) && passes(row, filter)) page.push(row);
      if (page.length === most) return { page, reached };
    }
    if (rows.length < asked) return { page, reached: null };
    left -= rows.length;
  }
  return { page, reached };
}

// Returns how many users of each status a list or a search has, up to a hundred. `isMore`: there may be more.
export async function readSegments(ctx: QueryCtx, search: string, filter: UserFilter): Promise<Infer<typeof usersSegments>> {
  if (search.trim() !== "") {
    const { users, isMore } = await searchUsers(ctx, search, undefined, (user) => isWhole(user) && passes(user, filter));
    return STATUSES.map((one) => ({
      status: one,
      count: users.filter((user) => user.status === one).length,
      isMore,
    }));
  }
  const field = filter.createdAt === undefined && filter.lastSignInAt !== undefined ? "lastSignInAt" : "createdAt";
  const { sorted } = within(field, "desc", filter);
  return await Promise.all(
    STATUSES.map(async (one) => {
      const span = { after: null, until: null };
      const { page, reached } = await readFiltered(ctx, sorted, one, filter, span, COUNTED);
      return { status: one, count: page.length, isMore: reached !== null };
    }),
  );
}
