// Reads pages of long lists. No page has more than a hundred rows.
//
// A client asks for a page by its size, or by its end: `usePaginatedQuery` sends an `endCursor` for each part of a page
// that it splits. Convex would read up to that end, however many rows lie before it. So our cursors contain Convex's
// cursor and their own position, and the end is looked for in one read of a hundred rows. If it is not among them, the
// answer asks the client to split the page, which `usePaginatedQuery` does.
import type { PaginationOptions, paginationOptsValidator, PaginationResult } from "convex/server";
import { compareValues, ConvexError, convexToJson, jsonToConvex } from "convex/values";
import type { Infer, JSONValue, Value } from "convex/values";
import type { Key as SortedKey, Span } from "./sorted";

const MOST = 100; // rows on a page, even if a client asks for more

type Key = (Value | undefined)[]; // the values of one row by which the list is sorted
type Position = Key | "start" | "end";
// `convex` is a cursor at the position or before it. The cursors of a merged list have none.
type Cursor = { position: Position; convex: string | null };

type List<Row> = {
  rows: { paginate(options: PaginationOptions): Promise<PaginationResult<Row>> };
  order: "asc" | "desc";
  keyOf: (row: Row) => Key;
};

type MergedList<Row> = {
  // At most `most` rows, in the order of the list, and how far it was read: null if to the end of the span.
  read: (span: Span, most: number) => Promise<{ page: Row[]; reached: SortedKey | null }>;
};

// Not PaginationOptions, which has no endCursor in convex 1.31.
type Options = Infer<typeof paginationOptsValidator>;

// Reads one page of `rows`, which are sorted by their keys in `order`.
export async function readPage<Row>(
  { rows, order, keyOf }: List<Row>,
  { numItems, cursor, endCursor }: Options,
): Promise<PaginationResult<Row>> {
  const start: Cursor = cursor === null ? { position: "start", convex: null } : parse(cursor);
  const end = typeof endCursor === "string" ? parse(endCursor) : null;
  const compare = (one: Position, other: Position) => comparePositions(one, other, order === "asc" ? 1 : -1);

  const read = await rows.paginate({ numItems: end === null ? bounded(numItems) : MOST, cursor: start.convex });
  const last = read.page[read.page.length - 1];
  const position = read.isDone ? "end" : last === undefined ? start.position : keyOf(last);
  const stop: Cursor = { position, convex: read.continueCursor };

  const page = read.page.filter((row) => {
    const key = keyOf(row);
    return compare(key, start.position) > 0 && (end === null || compare(key, end.position) <= 0);
  });
  const rest = {
    isDone: (end ?? stop).position === "end",
    continueCursor: end === null ? write(stop) : endCursor!,
  };
  const isTooLong = page.length > MOST; // a subscribed page keeps its end while rows are inserted before it
  const isWhole = end === null || compare(stop.position, end.position) >= 0;
  if (isWhole && !isTooLong) return { page, ...rest };
  const most = page.slice(0, MOST);
  const split = isTooLong ? { position: keyOf(most[MOST - 1]!), convex: start.convex } : stop;
  return { page: most, ...rest, splitCursor: write(split), pageStatus: "SplitRequired" };
}

// Reads one page of a list that is merged from several indexes. Convex remembers the end of a page only for a list of one
// index: a subscribed page of a merged list would lose its last row to a row that is inserted before it, while the next
// page still starts where it did. So the answer recommends to split the page at its end. `usePaginatedQuery` then asks
// for the page with an `endCursor`, which fixes the end, and for an empty rest, which reads nothing.
export async function readMergedPage<Row>(
  { read }: MergedList<Row>,
  { numItems, cursor, endCursor }: Options,
): Promise<PaginationResult<Row>> {
  const after = cursor === null ? "start" : parseMerged(cursor);
  const until = typeof endCursor === "string" ? parseMerged(endCursor) : null;
  if (after === "end" || (endCursor !== null && endCursor === cursor)) {
    return { page: [], isDone: after === "end", continueCursor: endCursor ?? cursor! };
  }

  const most = until === null ? bounded(numItems) : MOST;
  const isKey = (position: typeof until) => position !== null && typeof position !== "string";
  const found = await read({ after: isKey(after) ? after : null, until: isKey(until) ? until : null }, most);
  const { page } = found;
  const reached = found.reached === null ? null : write({ position: found.reached, convex: null });
  if (until === null) {
    if (reached === null) return { page, isDone: true, continueCursor: write({ position: "end", convex: null }) };
    return { page, isDone: false, continueCursor: reached, splitCursor: reached, pageStatus: "SplitRecommended" };
  }
  const rest = { page, isDone: until === "end", continueCursor: endCursor! };
  return reached === null || reached === endCursor
    ? rest
    : { ...rest, splitCursor: reached, pageStatus: "SplitRequired" };
}

function bounded(numItems: number): number {
  return Math.min(Math.max(Math.trunc(numItems) || 1, 1), MOST);
}

function comparePositions(one: Position, other: Position, direction: 1 | -1): number {
  if (typeof one === "string" || typeof other === "string") return rank(one) - rank(other);
  for (const [index, value] of one.entries()) {
    const order = compareValues(value, other[index]);
    if (order !== 0) return order * direction;
  }
  return 0;
}

function rank(position: Position): number {
  return position === "start" ? -1 : position === "end" ? 1 : 0;
}

function write({ position, convex }: Cursor): string {
  // JSON has no undefined. null can stand for it, because no key contains null.
  const json = typeof position === "string" ? position : position.map((value) => convexToJson(value ?? null));
  return JSON.stringify([json, convex]);
}

function parse(cursor: string): Cursor {
  try {
    const [position, convex] = JSON.parse(cursor) as [JSONValue[] | "start" | "end", string | null];
    if (convex !== null && typeof convex !== "string") throw new TypeError();
    if (position === "start" || position === "end") return { position, convex };
    return { position: position.map((value) => jsonToConvex(value) ?? undefined), convex };
  } catch {
    throw invalidCursor();
  }
}

// Parses a cursor of a merged list. One with a cursor of Convex is from an earlier version of these functions.
function parseMerged(cursor: string): SortedKey | "start" | "end" {
  const { position, convex } = parse(cursor);
  if (convex !== null) throw invalidCursor();
  if (typeof position === "string") return position;
  const [value, time, id] = position;
  if (position.length !== 3 || typeof time !== "number" || typeof id !== "string") throw invalidCursor();
  return [value, time, id];
}

// usePaginatedQuery starts from the first page again when it gets these data.
function invalidCursor() {
  return new ConvexError({
    isConvexSystemError: true,
    paginationError: "InvalidCursor",
    message: "This cursor is not from this list. Begin again with cursor: null.",
  });
}
