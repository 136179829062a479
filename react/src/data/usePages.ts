import {
  usePaginatedQuery,
  type PaginatedQueryArgs,
  type PaginatedQueryItem,
  type PaginatedQueryReference,
} from "convex/react";
import { compareValues, type Value } from "convex/values";
import { useEffect, useRef, useState } from "react";

const PAGE_SIZE = 25;
const FEWEST = 10; // rows on the screen, if the list has that many
const MOST_NEW = 50; // rows beyond those that were asked for

export type Pages<Row, Args> = {
  rows: Row[];
  args: Args; // the arguments that the rows belong to
  arrived: ReadonlySet<string>; // ids of rows that appeared after this view was opened
  isLoading: boolean; // true: there are no rows to show yet
  isStale: boolean; // true: the rows belong to the previous arguments
  isLoadingMore: boolean;
  loadMore: (() => void) | null;
};

type Shown<Row, Args> = {
  key: string;
  args: Args;
  rows: Row[];
  arrived: ReadonlySet<string>;
  wasLoadingMore: boolean;
};

const NONE: ReadonlySet<string> = new Set();

// Returns a live list, page by page. While another view loads, the rows of the previous one stay. A row that has not
// changed remains the same object, so that only changed rows render again. While a list has few rows it loads more pages
// by itself: `most` of them, where pages may be empty although more follow. A list that grows by itself would once have
// more rows, and subscriptions, than a browser bears. So it begins anew with as many rows as were asked for.
export function usePages<Query extends PaginatedQueryReference>(
  query: Query,
  args: PaginatedQueryArgs<Query>,
  most = Infinity,
): Pages<PaginatedQueryItem<Query>, PaginatedQueryArgs<Query>> {
  type Row = PaginatedQueryItem<Query> & { _id: string };
  const key = JSON.stringify(args);
  const [wish, setWish] = useState({ key, count: PAGE_SIZE, isLeft: false });
  if (wish.key !== key) setWish({ key, count: PAGE_SIZE, isLeft: false });
  // Convex's hook begins anew after it was skipped once.
  const asked = wish.isLeft ? "skip" : args;
  const { results, status, loadMore } = usePaginatedQuery(query, asked, { initialNumItems: wish.count });
  const [shown, setShown] = useState<Shown<Row, PaginatedQueryArgs<Query>> | null>(null);
  const loads = useRef({ key, count: 0 });
  const [paused, setPaused] = useState<string | null>(null);
  const isLoadingMore = status === "LoadingMore";

  // A loaded page can shrink, even to nothing, when its rows change, although more rows follow.
  const isShort = status === "CanLoadMore" && results.length < FEWEST && paused !== key;
  useEffect(() => {
    if (!isShort) return;
    if (loads.current.key !== key) loads.current = { key, count: 0 };
    loads.current.count += 1;
    if (loads.current.count > most) setPaused(key);
    else loadMore(PAGE_SIZE);
  }, [isShort, loadMore, key, most]);

  const isLong = status !== "LoadingFirstPage" && results.length > wish.count + MOST_NEW;
  if (isLong || wish.isLeft) setWish({ ...wish, isLeft: isLong });

  let current = shown;
  if (status !== "LoadingFirstPage") {
    current = next(shown, key, args, results as Row[], isLoadingMore);
    if (current !== shown) setShown(current);
  }

  const goOn = () => {
    loads.current = { key, count: 0 };
    setPaused(null);
    setWish({ ...wish, count: results.length + PAGE_SIZE });
    loadMore(PAGE_SIZE);
  };

  return {
    rows: current?.rows ?? [],
    args: current?.args ?? args,
    arrived: current?.arrived ?? NONE,
    isLoading: current === null || (current.rows.length === 0 && (isShort || isLoadingMore)),
    isStale: current !== null && current.key !== key,
    isLoadingMore,
    loadMore: status === "CanLoadMore" ? goOn : null,
  };
}

function next<Row extends { _id: string }, Args>(
  before: Shown<Row, Args> | null,
  key: string,
  args: Args,
  results: Row[],
  isLoadingMore: boolean,
): Shown<Row, Args> {
  if (before === null) return { key, args, rows: results, arrived: NONE, wasLoadingMore: isLoadingMore };
  const known = new Map(before.rows.map((row) => [row._id, row]));
  const rows = results.map((row) => {
    const old = known.get(row._id);
    return old !== undefined && isEqual(old, row) ? old : row;
  });
  const isSameView = before.key === key;
  const isUnchanged =
    rows.length === before.rows.length && rows.every((row, index) => row === before.rows[index]);
  if (isSameView && isUnchanged && before.wasLoadingMore === isLoadingMore) return before;

  let arrived = isSameView ? before.arrived : NONE;
  const isMore = before.wasLoadingMore && !isLoadingMore;
  const newcomers = isSameView && !isMore ? rows.filter((row) => !known.has(row._id)) : [];
  if (newcomers.length > 0) {
    const ids = new Set(newcomers.map((row) => row._id));
    arrived = new Set(rows.map((row) => row._id).filter((id) => ids.has(id) || arrived.has(id)));
  }
  return { key, args, rows: isUnchanged ? before.rows : rows, arrived, wasLoadingMore: isLoadingMore };
}

function isEqual(one: object, other: object): boolean {
  return compareValues(one as Value, other as Value) === 0;
}
