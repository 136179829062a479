// A long list, page by page, of which only the pages near the window are subscribed.
//
// A page is a part of the list between two cursors. Its end is fixed as soon as it is known (`endCursor`). So the pages
// neither overlap nor leave a gap, whatever changes, and a page can be left and subscribed to again. The rows of a page
// that is left stay as they were.
import type { PaginationResult } from "convex/server";
import { compareValues, ConvexError, type Value } from "convex/values";

export const FIRST = 25; // rows of the first page
export const NEXT = 50; // rows that are loaded at once later
const MOST = 100; // rows that Convex returns at once
const MARGIN = 25; // rows around the window whose pages are subscribed
export const MOST_LIVE = 8; // pages that are subscribed
const FEW = 25; // pages that have shrunk to so few rows together become one

export type PageOptions = { numItems: number; cursor: string | null; endCursor?: string };
// As ConvexReactClient.watchQuery() returns it. localQueryResult throws the error of the query.
export type Watch<Value> = { onUpdate: (listener: () => void) => () => void; localQueryResult: () => Value | undefined };

export type Loaded<Row> = {
  rows: readonly Row[];
  arrivals: ReadonlySet<string>; // ids of rows that came into pages while they were subscribed
  isLoading: boolean; // true: there are no rows to show yet
  isLoadingMore: boolean;
  canLoadMore: boolean;
  error: Error | null; // of a page; the rows stay
};

type Page<Row> = {
  cursor: string | null;
  end: string | null; // null: not known yet, or there is none
  size: number; // rows that are asked for
  rows: readonly Row[] | null; // null: not loaded yet
  peak: number; // the most rows it had
  isLast: boolean;
  error: Error | null;
  watch: Watch<PaginationResult<Row>> | null;
  stop: (() => void) | null;
  isFresh: boolean; // subscribed, and not answered yet
};

export class PageList<Row extends { _id: string }> {
  #watch: (options: PageOptions) => Watch<PaginationResult<Row>>;
  #pages: Page<Row>[];
  #wanted: number;
  #window = { first: 0, last: 0 };
  #here = new Set<string>();
  #arrivals = new Set<string>();
  #changed = new Set<Page<Row>>();
  #listeners = new Set<() => void>();
  #state: Loaded<Row>;

  // wanted: the number of rows to load at first.
  constructor(watch: (options: PageOptions) => Watch<PaginationResult<Row>>, wanted = FIRST) {
    this.#watch = watch;
    this.#wanted = wanted;
    this.#pages = [this.#first()];
    this.#state = this.#describe();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#follow();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) for (const page of this.#pages) leave(page);
    };
  };

  read = (): Loaded<Row> => this.#state;

  // The window shows these rows.
  look(first: number, last: number): void {
    this.#window = { first, last };
    this.#follow();
  }

  loadMore(): void {
    const { canLoadMore, rows } = this.#state;
    if (!canLoadMore) return;
    this.#wanted = rows.length + NEXT;
    this.#append();
    this.#tell();
  }

  // Convex runs a failed query again for a new subscription.
  retry(): void {
    for (const page of this.#pages) {
      if (page.error === null) continue;
      leave(page);
      page.error = null;
    }
    this.#tell();
  }

  #first(): Page<Row> {
    return pageOf({ cursor: null, size: sizeOf(this.#wanted) });
  }

  #append(): void {
    const missing = this.#wanted - this.#pages.reduce((sum, { rows }) => sum + (rows?.length ?? 0), 0);
    this.#pages.push(pageOf({ cursor: this.#pages.at(-1)!.end, size: sizeOf(missing) }));
  }

  // Subscribes to the pages near the window, and to the first one, in which most lists get their new rows.
  #follow(): void {
    if (this.#listeners.size === 0) return;
    let at = 0;
    let live = 0;
    for (const [index, page] of this.#pages.entries()) {
      const from = at;
      at += page.rows?.length ?? 0;
      const isNear = at >= this.#window.first - MARGIN && from <= this.#window.last + MARGIN;
      const isLive = page.rows === null || index === 0 || (isNear && live < MOST_LIVE - 1);
      if (isLive) live++;
      if (!isLive) leave(page);
      else if (page.stop === null) this.#join(page);
    }
  }

  #join(page: Page<Row>): void {
    const { cursor, end, size } = page;
    page.watch = this.#watch({ numItems: size, cursor, ...(end === null ? {} : { endCursor: end }) });
    page.isFresh = true;
    page.stop = page.watch.onUpdate(() => this.#note(page));
    this.#note(page);
  }

  // One change may reach several pages; they are taken together, so that a row that moves is never in two of them.
  #note(page: Page<Row>): void {
    if (this.#changed.size === 0) queueMicrotask(() => this.#take());
    this.#changed.add(page);
  }

  #take(): void {
    const pages = [...this.#changed].filter((page) => page.watch !== null);
    this.#changed.clear();
    const before = new Map(pages.map((page) => [page, { rows: page.rows, isFresh: page.isFresh }]));
    const taken = pages.filter((page) => this.#read(page));
    if (taken.length === 0) return;
    if (taken.some(({ error }) => isInvalidCursor(error))) return this.#restart();

    const left = new Set<string>();
    for (const page of taken) for (const { _id } of before.get(page)!.rows ?? []) left.add(_id);
    for (const id of left) this.#here.delete(id);
    for (const page of taken) {
      for (const { _id } of page.rows ?? []) {
        const isNew = !this.#here.has(_id) && !left.has(_id);
        if (isNew && !before.get(page)!.isFresh) this.#arrivals.add(_id);
        this.#here.add(_id);
      }
    }
    this.#merge();
    const last = this.#pages.at(-1)!;
    if (last.rows !== null && !last.isLast && this.#here.size < this.#wanted && last.rows.length > 0) this.#append();
    this.#tell();
  }

  // Reads the result of a page. Returns false if there is nothing new.
  #read(page: Page<Row>): boolean {
    let result: PaginationResult<Row> | undefined;
    try {
      result = page.watch!.localQueryResult();
    } catch (error) {
      page.error = error as Error;
      return true;
    }
    if (result === undefined) return false;
    page.isFresh = false;
    const rows = withSame(result.page, page.rows ?? []);
    const isSame = page.rows !== null && rows.length === page.rows.length && rows.every((row, at) => row === page.rows![at]);
    const { isDone, continueCursor, splitCursor, pageStatus } = result;
    const isSplit = pageStatus === "SplitRequired" && typeof splitCursor === "string";
    if (isSame && !isSplit && page.end !== null && page.error === null && page.isLast === isDone) return false;

    const known = page.rows;
    page.error = null;
    page.rows = isSame ? page.rows : rows;
    page.peak = Math.max(page.peak, rows.length);
    page.isLast = isDone;
    // A search has no cursors.
    const end = page.end ?? (continueCursor === "" ? null : continueCursor);
    if (isSplit) {
      const ids = new Set(rows.map(({ _id }) => _id));
      const rest = known?.filter(({ _id }) => !ids.has(_id)) ?? [];
      const second = pageOf<Row>({ cursor: splitCursor, end, size: page.size, isLast: isDone });
      if (rest.length > 0) second.rows = rest;
      this.#pages.splice(this.#pages.indexOf(page) + 1, 0, second);
      page.isLast = false;
    }
    const fixed = isSplit ? splitCursor : end;
    if (fixed !== page.end) {
      page.end = fixed;
      leave(page);
    }
    return true;
  }

  // Two neighbours that have shrunk become one page, so that a list that shrinks does not keep all its subscriptions.
  #merge(): void {
    for (let at = this.#pages.length - 1; at > 0; at--) {
      const [one, other] = [this.#pages[at - 1]!, this.#pages[at]!];
      if (one.rows === null || other.rows === null || one.end === null || other.end === null) continue;
      const count = one.rows.length + other.rows.length;
      if (count > FEW || one.peak + other.peak < 2 * FEW) continue;
      leave(one);
      leave(other);
      const merged = pageOf<Row>({ cursor: one.cursor, end: other.end, size: one.size, isLast: other.isLast });
      this.#pages.splice(at - 1, 2, { ...merged, rows: [...one.rows, ...other.rows], peak: count });
    }
  }

  #restart(): void {
    for (const page of this.#pages) leave(page);
    this.#here.clear();
    this.#arrivals.clear();
    this.#pages = [this.#first()];
    this.#tell();
  }

  #tell(): void {
    this.#follow();
    this.#state = this.#describe();
    for (const listener of this.#listeners) listener();
  }

  #describe(): Loaded<Row> {
    const rows = this.#pages.flatMap((page) => page.rows ?? []);
    const last = this.#pages.at(-1)!;
    const error = this.#pages.find((page) => page.error !== null)?.error ?? null;
    const isMore = last.rows === null || !last.isLast;
    return {
      rows,
      arrivals: new Set([...this.#arrivals].filter((id) => this.#here.has(id))),
      isLoading: rows.length === 0 && isMore && error === null,
      isLoadingMore: last.rows === null && last.error === null,
      canLoadMore: last.rows !== null && !last.isLast,
      error,
    };
  }
}

function pageOf<Row>(page: Pick<Page<Row>, "cursor" | "size"> & Partial<Page<Row>>): Page<Row> {
  return { end: null, rows: null, peak: 0, isLast: false, error: null, watch: null, stop: null, isFresh: false, ...page };
}

function leave<Row>(page: Page<Row>): void {
  page.stop?.();
  page.stop = null;
  page.watch = null;
}

function sizeOf(wanted: number): number {
  return Math.min(Math.max(wanted, FIRST), MOST);
}

// A row that has not changed remains the same object, so that only changed rows render again.
function withSame<Row extends { _id: string }>(rows: readonly Row[], before: readonly Row[]): readonly Row[] {
  const known = new Map(before.map((row) => [row._id, row]));
  return rows.map((row) => {
    const old = known.get(row._id);
    return old !== undefined && isEqual(old, row) ? old : row;
  });
}

// Compares field by field, because compareValues is slow, and most fields are texts and numbers.
function isEqual<Row extends object>(one: Row, other: Row): boolean {
  const names = Object.keys(one) as (keyof Row)[];
  if (names.length !== Object.keys(other).length) return false;
  return names.every((name) => one[name] === other[name] || compareValues(one[name] as Value, other[name] as Value) === 0);
}

function isInvalidCursor(error: Error | null): boolean {
  return error instanceof ConvexError && (error.data as { paginationError?: string } | null)?.paginationError === "InvalidCursor";
}
