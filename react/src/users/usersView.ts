// Reads and writes the state of the list in the URL: ?q= &status= &sort= &order=. Invalid values are ignored.
import type { Stats, UserStatus } from "../functions.ts";
import { STATUSES } from "../ui/statuses.ts";

const SORTS = ["name", "email", "createdAt", "lastSignInAt"] as const;
const ORDERS = ["asc", "desc"] as const;

export type SortKey = (typeof SORTS)[number];
export type Sort = { by: SortKey; order: (typeof ORDERS)[number] };
export type Counts = Pick<Stats, "total" | UserStatus>;
export type UsersView = { search: string; status: UserStatus | null; sort: Sort };

export const NEWEST_FIRST: Sort = { by: "createdAt", order: "desc" };
export const SEARCH_LIMIT = 50; // a search returns at most this many users

// Returns the first order of a column: times start with the latest, texts with the first letter.
export function naturalOrder(by: SortKey): Sort["order"] {
  return by === "createdAt" || by === "lastSignInAt" ? "desc" : "asc";
}

export function readView(params: URLSearchParams): UsersView {
  const by = oneOf(SORTS, params.get("sort"));
  const order = oneOf(ORDERS, params.get("order"));
  return {
    search: params.get("q") ?? "",
    status: oneOf(STATUSES, params.get("status")),
    sort: by === null ? NEWEST_FIRST : { by, order: order ?? naturalOrder(by) },
  };
}

export function writeView(params: URLSearchParams, { search, status, sort }: UsersView): URLSearchParams {
  const isUsual = sort.by === NEWEST_FIRST.by && sort.order === NEWEST_FIRST.order;
  const written = new URLSearchParams(params);
  const values = {
    q: search,
    status,
    sort: isUsual ? null : sort.by,
    order: isUsual || sort.order === naturalOrder(sort.by) ? null : sort.order,
  };
  for (const [name, value] of Object.entries(values)) {
    if (value) written.set(name, value);
    else written.delete(name);
  }
  return written;
}

function oneOf<Item extends string>(items: readonly Item[], text: string | null): Item | null {
  return items.find((item) => item === text) ?? null;
}
