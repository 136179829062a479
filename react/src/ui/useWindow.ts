import { useEffect, useRef, useState, type RefObject } from "react";
import { useLatest, useLayout } from "./useLayout.ts";

const WHOLE = 50; // rows up to which a list is in the document as a whole
const OVERSCAN = 10; // rows above and below the window, at least
const STEP = 5; // by how many rows the window moves at least
const MOST_NEW = 5; // rows that come into the document with one frame, so that no frame takes long
const NEAR = 0.75; // of the height of the window: the end of the list is so near that more rows are loaded

export type Seen = {
  first: number; // the first row in the window
  last: number;
  isScrolled: boolean; // the first row of the list is above the window
  isNearEnd: boolean;
  offset: number; // pixels from the top of the window to the first row that is seen
  head: number; // pixels from the top of the window to the bottom of the head of the table, which stays in the window
  height: number; // of a row
};

export type Range = { first: number; last: number; height: number };

type Options = {
  table: RefObject<HTMLTableElement | null>;
  count: number; // rows of the list
  onSee: (seen: Seen) => void;
};

// Returns which rows of a long table have to be in the document, and the height of a row, which is the same for all. It
// follows any element that scrolls, because the table may be in one of the app.
export function useWindow({ table, count, onSee }: Options): Range {
  const [range, setRange] = useState<Range>({ first: 0, last: WHOLE - 1, height: 0 });
  const measure = useLatest(() => {
    const found = measureRows(table.current);
    if (found === null) return;
    const { height, top, head } = found;
    const most = Math.max(0, count - 1);
    const within = (row: number) => Math.min(Math.max(row, 0), most);
    const first = within(Math.floor((head - top) / height));
    const last = within(Math.ceil((innerHeight - top) / height) - 1);
    const over = Math.max(OVERSCAN, Math.ceil((last - first) / 2));
    const steps = (row: number) => Math.floor(row / STEP) * STEP;
    const next = { first: steps(Math.max(0, first - over)), last: steps(last + over) + STEP, height };
    setRange((now) => {
      const to = nearer(now, next, { first, last });
      return now.first === to.first && now.last === to.last && Math.abs(now.height - height) < 0.5 ? now : to;
    });
    onSee({
      first,
      last,
      isScrolled: top + 2 < head,
      isNearEnd: top + count * height - innerHeight < innerHeight * NEAR,
      offset: top + first * height,
      head,
      height,
    });
  });

  // To measure makes the browser lay out the page. Only the first rows need it at once; all else is measured with the
  // next frame, which lays it out anyway.
  useLayout(() => {
    if (range.height === 0) measure();
  });
  const frame = useRef<number | null>(null);
  const measureSoon = useLatest(() => {
    frame.current ??= requestAnimationFrame(() => {
      frame.current = null;
      measure();
    });
  });
  useEffect(() => measureSoon()); // what is above the table may have changed its height
  useEffect(() => {
    addEventListener("scroll", measureSoon, true);
    addEventListener("resize", measureSoon);
    return () => {
      if (frame.current !== null) cancelAnimationFrame(frame.current);
      frame.current = null;
      removeEventListener("scroll", measureSoon, true);
      removeEventListener("resize", measureSoon);
    };
  }, [measureSoon]);

  return count <= WHOLE ? { ...range, first: 0, last: count - 1 } : range;
}

// Returns the range on the way from `now` to `target` in which few rows are new. The rows that are seen come first; the
// next frame goes on from there. After a jump, all rows that are seen are new.
export function nearer(now: Range, target: Range, seen: { first: number; last: number }): Range {
  const isApart = now.last < target.first || now.first > target.last;
  let first = isApart ? seen.first : Math.max(now.first, target.first);
  let last = isApart ? seen.last : Math.min(now.last, target.last);
  for (let left = isApart ? 0 : MOST_NEW; left > 0 && (first > target.first || last < target.last); left--) {
    if (last < Math.min(seen.last, target.last) || first === target.first) last++;
    else if (first > seen.first || last === target.last) first--;
    else if (last - seen.last < seen.first - first) last++;
    else first--;
  }
  return { ...target, first, last };
}

// Returns the height of a row, the top of the list in the window, and the bottom of the head, which stays in the window.
function measureRows(table: HTMLTableElement | null) {
  const body = table?.tBodies[0];
  const row = body?.querySelector("tr:not(.gap)");
  if (!body || !row) return null;
  const { height } = row.getBoundingClientRect();
  if (height === 0) return null; // it is not displayed
  const top = body.getBoundingClientRect().top;
  const head = table!.tHead;
  const isShown = head !== null && head.offsetHeight > 2; // narrow screens have cards without a head
  const cell = isShown ? head.querySelector("th") : null; // the cells stick to the window, and not the head
  return { height, top, head: Math.max(0, cell?.getBoundingClientRect().bottom ?? 0) };
}

// Returns the element that scrolls the table.
export function scrollerOf(element: Element): Element {
  for (let parent = element.parentElement; parent !== null; parent = parent.parentElement) {
    const { overflowY } = getComputedStyle(parent);
    const isScroller = overflowY === "auto" || overflowY === "scroll";
    if (isScroller && parent.scrollHeight > parent.clientHeight && parent !== document.body) return parent;
  }
  return document.scrollingElement ?? document.documentElement;
}

// Returns the rows that have to be in the document, in order: those of the range, and one that has the focus.
export function rowsIn({ first, last }: Range, count: number, kept: number): number[] {
  const rows: number[] = [];
  const end = Math.min(last, count - 1);
  if (kept !== -1 && kept < first) rows.push(kept);
  for (let row = first; row <= end; row++) rows.push(row);
  if (kept !== -1 && kept > end) rows.push(kept);
  return rows;
}
