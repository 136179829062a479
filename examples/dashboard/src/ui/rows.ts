// A table whose rows open something: each has a link for the keyboard, and the mouse may use all of the row.
import type { KeyboardEvent, MouseEvent } from "react";

export function onRowClick(event: MouseEvent<HTMLElement>, open: (row: HTMLTableRowElement) => void): void {
  // Ctrl, Command, Shift: the browser opens the link its own way.
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const target = event.target as Element;
  const row = target.closest("tr");
  if (row === null || target.closest("button, input, select")) return;
  if (!target.closest("a") && getSelection()?.toString()) return; // somebody marks text to copy it
  event.preventDefault();
  if (event.detail > 1) return; // the rest of a double click, perhaps on what was in front of the row
  open(row);
}

// Arrow keys go from row to row.
export function onRowKeyDown(event: KeyboardEvent<HTMLElement>): void {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const row = (event.target as Element).closest("tr");
  const next = event.key === "ArrowDown" ? row?.nextElementSibling : row?.previousElementSibling;
  const link = next?.querySelector("a");
  if (!link) return;
  event.preventDefault();
  link.focus();
}
