import type { ReactNode } from "react";
import { focusSearch } from "./focus.ts";

type Props = { onClear: () => void; children: ReactNode };

// The button of a list in which nothing passes the filters. It disappears when it is pressed, so it gives the focus on.
export function ClearFilters({ onClear, children }: Props) {
  return (
    <button
      className="button"
      type="button"
      onClick={(event) => {
        focusSearch(event.currentTarget);
        onClear();
      }}
    >
      {children}
    </button>
  );
}
