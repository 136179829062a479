// Where the focus goes when the button that has it leaves the document.

// Focuses a chip beside the pressed one. There may be none, or another button of the chips was pressed, which removes them all.
export function focusNear(pressed: Element, otherwise: () => void): void {
  const chips = [...pressed.closest(".chips")!.querySelectorAll<HTMLElement>(".chip")];
  const at = chips.indexOf(pressed as HTMLElement);
  const near = at === -1 ? undefined : (chips[at + 1] ?? chips[at - 1]);
  if (near === undefined) otherwise();
  else near.focus();
}

// Focuses the first field of the page's filters.
export function focusSearch(pressed: Element): void {
  pressed.closest(".ccx")?.querySelector<HTMLElement>('[role="search"] input')?.focus();
}
