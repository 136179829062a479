import { useRef, type RefObject } from "react";
import type { UserSummary } from "../functions.ts";
import { FIRST } from "../data/PageList.ts";
import { useLatest, useLayout } from "../ui/useLayout.ts";
import { scrollerOf, type Seen } from "../ui/useWindow.ts";
import { isReturning, remember, type Place } from "./place.ts";

const NEIGHBOURS = 30; // rows of which one is looked for, if the first one in the window has left

type Rows = readonly UserSummary[];
type Options = {
  table: RefObject<HTMLTableElement | null>;
  url: string;
  place: Place | null; // to which the list returns
  rows: Rows;
  isStale: boolean; // the rows belong to another URL
  isDone: boolean; // no more rows are being loaded
};

// Keeps the list where it is: scrolls to the place where it was left, to the top of another view, and with the rows in the
// window when others come or go above them. Returns a function that takes what is seen.
export function usePlace({ table, url, place, rows, isStale, isDone }: Options): (seen: Seen) => void {
  // The rows of the last commit, and where they are in the window. The next frame measures that again.
  const last = useRef<{ seen: Seen; rows: Rows } | null>(null);
  const wanted = useRef<{ url: string; place: Place | null } | null>(null);
  const shownUrl = useRef<string | null>(null);

  const scrollBy = (distance: number) => {
    if (Math.abs(distance) >= 1) scrollerOf(table.current!).scrollTop += distance;
  };
  const save = useLatest((left: string) => remember(left, last.current === null ? null : placeIn(last.current)));

  useLayout(() => {
    const onHide = () => save(url);
    addEventListener("pagehide", onHide);
    return () => {
      removeEventListener("pagehide", onHide);
      save(url);
    };
  }, [url, save]);

  // A router may keep what the page before was scrolled by.
  const begin = useLatest(() => {
    const element = table.current;
    if (place === null && !isReturning() && element !== null && element.getBoundingClientRect().top < 0) scrollerOf(element).scrollTop = 0;
  });
  useLayout(() => begin(), [begin]);

  useLayout(() => {
    if (wanted.current?.url !== url) wanted.current = { url, place };
    if (isStale || last.current === null || rows.length === 0 || table.current === null) return;
    const { seen, rows: before } = last.current;
    const isOther = shownUrl.current !== null && shownUrl.current !== url;
    shownUrl.current = url;

    const target = wanted.current.place;
    if (target !== null && isReturning()) {
      const found = rows.findIndex(({ clerkId }) => clerkId === target.clerkId);
      if (found === -1 && !isDone) return;
      const row = found === -1 ? Math.min(target.first, rows.length - 1) : found;
      scrollBy(table.current.tBodies[0]!.getBoundingClientRect().top + row * seen.height - target.offset);
      wanted.current.place = null;
      last.current = { seen: { ...seen, first: row, offset: target.offset, isScrolled: true }, rows };
    } else if (isOther) {
      if (seen.isScrolled) scrollBy(table.current.tBodies[0]!.getBoundingClientRect().top - seen.head);
      last.current = { seen: { ...seen, first: 0, offset: seen.head, isScrolled: false }, rows };
    } else if (before !== rows) {
      const by = seen.isScrolled ? moved(before, rows, seen.first) : 0;
      scrollBy(by * seen.height);
      last.current = { seen: { ...seen, first: seen.first + by }, rows };
    }
  });

  return (seen) => {
    last.current = { seen, rows };
  };
}

// Returns where the list is, or null at its top.
function placeIn({ seen, rows }: { seen: Seen; rows: Rows }): Place | null {
  const row = rows[seen.first];
  if (row === undefined || (!seen.isScrolled && rows.length <= FIRST)) return null;
  return { rows: rows.length, clerkId: row.clerkId, first: seen.first, offset: seen.offset };
}

// Returns by how many places the row in the window, or the next that is still there, has moved.
function moved(before: Rows, now: Rows, first: number): number {
  for (let at = first; at < Math.min(before.length, first + NEIGHBOURS); at++) {
    const { clerkId } = before[at]!;
    if (now[at]?.clerkId === clerkId) return 0;
    const found = now.findIndex((row) => row.clerkId === clerkId);
    if (found !== -1) return found - at;
  }
  return 0;
}
