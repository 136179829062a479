import { useEffect } from "react";
import { useLatest } from "./useLayout.ts";

// Calls the handler on a key, except while the focus is in a field or a dialog is open.
export function useKey(key: string, handler: () => void): void {
  const act = useLatest(handler);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey) return;
      if ((event.target as Element).closest("input:not([type=checkbox]), textarea, select, dialog, [contenteditable]")) return;
      if (document.querySelector("dialog:modal")) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [key, act]);
}
