import { useEffect } from "react";
import { useOptions } from "../admin/options.ts";
import { useLatest } from "./useLayout.ts";

export const FIELDS =
  "input:not([type=checkbox]),textarea,select,[contenteditable]:not([contenteditable=false]),[role$=box]:not([role=checkbox])";

// Calls the handler on a key, except while the focus is in a field or a dialog is open. null: the key does nothing.
export function useKey(key: string, handler: (() => void) | null): void {
  const { keys } = useOptions();
  const isOn = keys && handler !== null;
  const act = useLatest(handler ?? (() => {}));
  useEffect(() => {
    if (!isOn) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== key || !isPlain(event) || isIn(`dialog,${FIELDS}`, event)) return;
      if (document.querySelector("dialog:modal")) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [key, isOn, act]);
}

// Returns whether nothing else has used the key, and it means the letter.
export function isPlain(event: KeyboardEvent): boolean {
  return !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.altKey;
}

// Returns whether the event comes from within such an element, also from one in a shadow root. What is in a closed one is
// not known: it may be a field.
export function isIn(selector: string, event: Event): boolean {
  const path = event.composedPath().filter((it) => it instanceof Element);
  return path.some((it) => it.matches(selector)) || path[0]?.localName.includes("-") === true;
}
