// Reads and writes the state of the list in the URL: ?q= &status= &role= &verified= &joined= &signin= &sort= &order=.
// Invalid values are ignored.
import type { UserFilter, UsersArgs, UserStatus } from "../functions.ts";
import { STATUSES } from "../ui/statuses.ts";

const SORTS = ["name", "email", "createdAt", "lastSignInAt"] as const;
const ORDERS = ["asc", "desc"] as const;
const MOST_DAYS = 9999;

export type SortKey = (typeof SORTS)[number];
export type Sort = { by: SortKey; order: (typeof ORDERS)[number] };

// Times that are looked for, in the viewer's time zone. `last`: today and the days before, so many in all; `before`:
// not in these days. A date is a day such as "2026-11-22", and both ends belong to the range.
export type When =
  | { kind: "last" | "before"; days: number }
  | { kind: "dates"; from: string | null; to: string | null }
  | { kind: "never" };

export type Filtered = {
  role: string | null; // "": users without a role
  verified: boolean | null;
  joined: When | null;
  signedIn: When | null;
};
export type UsersView = Filtered & { search: string; status: UserStatus | null; sort: Sort };

export const NEWEST_FIRST: Sort = { by: "createdAt", order: "desc" };
export const NO_FILTER: Filtered = { role: null, verified: null, joined: null, signedIn: null };
export const EVERYONE = { ...NO_FILTER, search: "", status: null };
export const SEARCH_LIMIT = 50; // a search returns at most this many users

// Returns the first order of a column: times start with the latest, texts with the first letter.
export function naturalOrder(by: SortKey): Sort["order"] {
  return by === "createdAt" || by === "lastSignInAt" ? "desc" : "asc";
}

export function readView(params: URLSearchParams): UsersView {
  const by = oneOf(SORTS, params.get("sort"));
  const order = oneOf(ORDERS, params.get("order"));
  const verified = oneOf(["yes", "no"], params.get("verified"));
  const joined = readWhen(params.get("joined"));
  return {
    search: params.get("q") ?? "",
    status: oneOf(STATUSES, params.get("status")),
    role: params.get("role"),
    verified: verified === null ? null : verified === "yes",
    joined: joined?.kind === "never" ? null : joined,
    signedIn: readWhen(params.get("signin")),
    sort: by === null ? NEWEST_FIRST : { by, order: order ?? naturalOrder(by) },
  };
}

export function writeView(params: URLSearchParams, view: UsersView): URLSearchParams {
  const { search, status, role, verified, joined, signedIn, sort } = view;
  const isUsual = sort.by === NEWEST_FIRST.by && sort.order === NEWEST_FIRST.order;
  const written = new URLSearchParams(params);
  const values = {
    q: search || null,
    status,
    role,
    verified: verified === null ? null : verified ? "yes" : "no",
    joined: writeWhen(joined),
    signin: writeWhen(signedIn),
    sort: isUsual ? null : sort.by,
    order: isUsual || sort.order === naturalOrder(sort.by) ? null : sort.order,
  };
  for (const [name, value] of Object.entries(values)) {
    if (value === null) written.delete(name);
    else written.set(name, value);
  }
  return written;
}

// Reads "30d", "before-30d", "never", and "2026-11-01..2026-11-22", of which one date may be missing.
export function readWhen(text: string | null): When | null {
  if (text === "never") return { kind: "never" };
  const days = /^(before-)?([1-9]\d{0,3})d$/.exec(text ?? "");
  if (days !== null) return { kind: days[1] === undefined ? "last" : "before", days: Number(days[2]) };
  const dates = /^([^.]*)\.\.([^.]*)$/.exec(text ?? "");
  if (dates === null) return null;
  const [from, to] = [dates[1] || null, dates[2] || null];
  const isRange = [from, to].every((date) => date === null || startOf(date) !== null);
  if (!isRange || (from === null && to === null) || (from !== null && to !== null && from > to)) return null;
  return { kind: "dates", from, to };
}

export function writeWhen(when: When | null): string | null {
  switch (when?.kind) {
    case "last":
      return `${Math.min(when.days, MOST_DAYS)}d`;
    case "before":
      return `before-${Math.min(when.days, MOST_DAYS)}d`;
    case "dates":
      return `${when.from ?? ""}..${when.to ?? ""}`;
    case "never":
      return "never";
  }
  return null;
}

// Returns the arguments of `getUsers` for a view, and of `segments` without status and sort. `today` is the beginning
// of the viewer's day.
export function argsOf(view: UsersView, today: number): UsersArgs {
  const search = view.search.trim();
  const filter = filterOf(view, today);
  return {
    ...(view.status === null ? {} : { status: view.status }),
    // A search is sorted by relevance.
    ...(search === "" ? { sort: view.sort } : { search }),
    ...(filter === undefined ? {} : { filter }),
  };
}

export function filterOf({ role, verified, joined, signedIn }: Filtered, today: number): UserFilter | undefined {
  const filter: UserFilter = {
    ...(role === null ? {} : { role }),
    ...(verified === null ? {} : { verified }),
    ...(joined === null || joined.kind === "never" ? {} : { createdAt: rangeOf(joined, today) }),
    ...(signedIn === null ? {} : { lastSignInAt: signedIn.kind === "never" ? null : rangeOf(signedIn, today) }),
  };
  return Object.keys(filter).length === 0 ? undefined : filter;
}

type Range = { from?: number; before?: number };

function rangeOf(when: Exclude<When, { kind: "never" }>, today: number): Range {
  if (when.kind !== "dates") {
    const start = dayAt(today, 1 - when.days);
    return when.kind === "last" ? { from: start } : { before: start };
  }
  return {
    ...(when.from === null ? {} : { from: startOf(when.from)! }),
    ...(when.to === null ? {} : { before: dayAt(startOf(when.to)!, 1) }),
  };
}

// Returns the beginning of a day of the viewer, or null if there is no such day.
export function startOf(date: string): number | null {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(date)?.map(Number) ?? [];
  if (year === undefined || year < 100) return null; // Date takes 99 for 1999
  const start = new Date(year, month! - 1, day);
  return start.getMonth() === month! - 1 && start.getDate() === day ? start.getTime() : null;
}

// Returns the beginning of a day that is `days` later. Not every day has 24 hours.
function dayAt(start: number, days: number): number {
  const date = new Date(start);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + days).getTime();
}

function oneOf<Item extends string>(items: readonly Item[], text: string | null): Item | null {
  return items.find((item) => item === text) ?? null;
}
