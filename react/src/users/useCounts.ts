import { useMemo } from "react";
import { useAdminAnswer } from "../data/useAnswer.ts";
import { useLast } from "../data/useLast.ts";
import { useFunctions, type Segment, type Stats, type UserStatus } from "../functions.ts";
import { STATUSES } from "../ui/statuses.ts";
import { filterOf, type UsersView } from "./usersView.ts";

export type Count = { count: number; isMore: boolean }; // isMore: there may be more
export type Counts = { key: string } & Record<"total" | UserStatus, Count>; // key: the search and the filter

const EXACT = ""; // the key of all users

// Returns how many users of each status the search and the filter have: the totals if there is neither. While they are
// being counted the last counts stay.
export function useCounts(view: UsersView, today: number, stats: Stats | undefined): Counts | undefined {
  const { segments } = useFunctions();
  const key = keyOf(view, today);
  const args = useMemo(() => (key === EXACT ? null : JSON.parse(key)), [key]);
  const { value, error } = useAdminAnswer(segments, args);
  const counts = useMemo(() => {
    if (key === EXACT) return stats && countsOfStats(stats);
    return value && countsOf(key, value);
  }, [key, stats, value]);
  const last = useLast(counts);
  return error === undefined ? last : undefined;
}

// Returns how many users there are of a status or of all, if it is known.
export function totalOf(counts: Counts | undefined, status: UserStatus | undefined): number | undefined {
  const found = counts?.[status ?? "total"];
  return found?.isMore ? undefined : found?.count;
}

export function keyOf(view: UsersView, today: number): string {
  const search = view.search.trim();
  const filter = filterOf(view, today);
  if (search === "" && filter === undefined) return EXACT;
  return JSON.stringify({ ...(search === "" ? {} : { search }), ...(filter === undefined ? {} : { filter }) });
}

function countsOfStats(stats: Stats): Counts {
  const exact = (count: number) => ({ count, isMore: false });
  const each = Object.fromEntries(STATUSES.map((status) => [status, exact(stats[status])]));
  return { key: EXACT, total: exact(stats.total), ...(each as Record<UserStatus, Count>) };
}

export function countsOf(key: string, segments: readonly Segment[]): Counts {
  const none = { count: 0, isMore: false };
  const each = Object.fromEntries(
    STATUSES.map((status) => [status, segments.find((segment) => segment.status === status) ?? none]),
  );
  const total = {
    count: segments.reduce((sum, { count }) => sum + count, 0),
    isMore: segments.some(({ isMore }) => isMore),
  };
  return { key, total, ...(each as Record<UserStatus, Count>) };
}
