// Handles clicks and keys in a table whose rows open something. Each row has a link for the keyboard; a click anywhere
// in the row opens it too.
import type { KeyboardEvent, MouseEvent } from "react";
import { isIn, isPlain } from "./useKey.ts";

// Parts of the app itself that do something of their own.
const FOREIGN =
  ".foreign :is(a,button,input,label,select,textarea,summary,[contenteditable],[tabindex],[role]:not([role=img],[role=none]))";

export function onRowClick(event: MouseEvent<HTMLElement>, open: (row: HTMLTableRowElement) => void): void {
  // With Ctrl, Command or Shift the browser opens the link in a new tab or window.
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const target = event.target as Element;
  const row = target.closest("tr");
  if (row === null || target.closest(`button,input,label,select,${FOREIGN}`)) return;
  if (!target.closest("a") && getSelection()?.toString()) return; // text is being selected
  event.preventDefault();
  if (event.detail > 1) return; // the second click of a double click, which may have begun on something else
  open(row);
}

// Selects the row with x; with Shift as a click with Shift does. Otherwise calls `go` with the row to which the key leads:
// `page` is the number of rows in the window. letters: x selects.
export function onRowKeyDown(
  event: KeyboardEvent<HTMLElement>,
  { at, count, page, letters, go }: { at: number; count: number; page: number; letters: boolean; go: (row: number) => void },
): void {
  const { nativeEvent, target } = event;
  if (!isPlain(nativeEvent) || isIn(FOREIGN, nativeEvent)) return;
  if (event.key.toLowerCase() === "x" && letters) {
    const box = (target as Element).closest("tr")?.querySelector("input[type=checkbox]");
    box?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: event.shiftKey }));
    return;
  }
  const keys: Record<string, number> = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + page,
    PageUp: at - page,
    Home: 0,
    End: count - 1,
  };
  const row = keys[event.key];
  if (row === undefined || at === -1) return;
  event.preventDefault();
  go(Math.min(Math.max(row, 0), count - 1));
}
