import { useEffect, useMemo, useRef, type CSSProperties, type KeyboardEvent } from "react";
import { useOptions } from "../admin/options.ts";
import type { UserSummary } from "../functions.ts";
import { onRowClick, onRowKeyDown } from "../ui/rows.ts";
import { useLayout } from "../ui/useLayout.ts";
import { rowsIn, type Range } from "../ui/useWindow.ts";
import { userCells } from "./cells.ts";
import type { Hold, Shown } from "./HeldList.ts";
import type { Manage } from "./manage.ts";
import { UserRow } from "./UserRow.tsx";

type Props = {
  shown: Shown<UserSummary>;
  range: Range;
  kept: string | null; // the Clerk id of a user whose row stays in the document
  page: number; // rows in the window
  hold: Hold;
  onGo: (clerkId: string) => void; // a key leads to this row
  onFocus: (clerkId: string | null) => void; // the focus is in this row
  onOpen: (clerkId: string) => void;
  manage?: Manage;
};

// The rows near the window, with gaps as high as the rows that are not in the document.
export function UserRows({ shown, range, kept, page, hold, onGo, onFocus, onOpen, manage }: Props) {
  const { rows, gone, arrived } = shown;
  const { columns, keys } = useOptions();
  const columnCount = useMemo(
    () => userCells(columns.length, manage !== undefined).reduce((sum, { colSpan = 1 }) => sum + colSpan, 0),
    [columns.length, manage],
  );
  useEffect(() => () => hold.set("pointer", false), [hold]);

  const keptAt = kept === null ? -1 : rows.findIndex(({ clerkId }) => clerkId === kept);
  const drawn = rowsIn(range, rows.length, keptAt);
  const gap = (from: number, to: number) =>
    to > from && (
      <tr key={`gap to ${to === rows.length ? "end" : to === keptAt ? "kept" : "rows"}`} className="gap" aria-hidden="true">
        <td colSpan={columnCount} style={{ "--_gap": `${(to - from) * range.height}px` } as CSSProperties} />
      </tr>
    );

  // Not an attribute that React sets: it would render each row again when one arrives above.
  const body = useRef<HTMLTableSectionElement>(null);
  useLayout(() => {
    const elements = body.current!.querySelectorAll("tr:not(.gap)");
    for (const [index, at] of drawn.entries()) {
      const rowIndex = String(at + 2);
      if (elements[index]!.getAttribute("aria-rowindex") !== rowIndex) elements[index]!.setAttribute("aria-rowindex", rowIndex);
    }
  });

  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const row = (event.target as Element).closest("tr");
    const at = Number(row?.getAttribute("aria-rowindex") ?? 1) - 2;
    const go = (to: number) => {
      const step = to < at ? -1 : 1;
      let target = to;
      while (target >= 0 && target < rows.length && gone.has(rows[target]!._id)) target += step; // it cannot have the focus
      const user = rows[target];
      if (user !== undefined) onGo(user.clerkId);
    };
    onRowKeyDown(event, { at, count: rows.length, page, letters: keys, go });
  };

  return (
    <tbody
      ref={body}
      role="rowgroup"
      onClick={(event) => onRowClick(event, (row) => row.dataset.clerkId && onOpen(row.dataset.clerkId))}
      onKeyDown={onKeyDown}
      // Not when it enters: the list may have come under a pointer that rests.
      onPointerMove={() => hold.set("pointer", true)}
      onPointerLeave={() => hold.set("pointer", false)}
      onFocus={(event) => onFocus(event.target.closest("tr")?.dataset.clerkId ?? null)}
      onBlur={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) onFocus(null);
      }}
    >
      {drawn.flatMap((at, index) => {
        const user = rows[at]!;
        return [
          gap(index === 0 ? 0 : drawn[index - 1]! + 1, at),
          <UserRow
            key={user.clerkId}
            user={user}
            isNew={arrived.has(user._id)}
            isGone={gone.has(user._id)}
            manage={manage}
          />,
        ];
      })}
      {gap((drawn.at(-1) ?? -1) + 1, rows.length)}
    </tbody>
  );
}
