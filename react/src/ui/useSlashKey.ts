import type { RefObject } from "react";
import { useKey } from "./useKey.ts";

// Focuses the search box on "/".
export function useSlashKey(input: RefObject<HTMLInputElement | null>): void {
  useKey("/", () => {
    input.current?.focus();
    input.current?.select();
  });
}
