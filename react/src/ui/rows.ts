// Handles clicks and keys in a table whose rows open something. Each row has a link for the keyboard; a click anywhere
// in the row opens it too.
import type { KeyboardEvent, MouseEvent } from "react";

export function onRowClick(event: MouseEvent<HTMLElement>, open: (row: HTMLTableRowElement) => void): void {
  // With Ctrl, Command or Shift the browser opens the link in a new tab or window.
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const target = event.target as Element;
  const row = target.closest("tr");
  if (row === null || target.closest("button, input, label, select")) return;
  if (!target.closest("a") && getSelection()?.toString()) return; // text is being selected
  event.preventDefault();
  if (event.detail > 1) return; // the second click of a double click, which may have begun on something else
  open(row);
}

// Moves the focus from row to row with the arrow keys, and selects the row with x; with Shift as a click with Shift does.
export function onRowKeyDown(event: KeyboardEvent<HTMLElement>): void {
  if (event.key.toLowerCase() === "x" && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const box = (event.target as Element).closest("tr")?.querySelector("input[type=checkbox]");
    box?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: event.shiftKey }));
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const row = (event.target as Element).closest("tr");
  const next = event.key === "ArrowDown" ? row?.nextElementSibling : row?.previousElementSibling;
  const link = next?.querySelector("a");
  if (!link) return;
  event.preventDefault();
  link.focus();
}
