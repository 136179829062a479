import { useEffect, useRef } from "react";
import type { UserSummary } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { useLayout } from "../ui/useLayout.ts";
import { useOptions } from "../admin/options.ts";
import { displayName } from "../users/displayName.ts";
import { OFFERED } from "./bulk.ts";
import { useManaged, useManaging, useObstacle } from "./context.ts";
import { WORDS } from "./words.tsx";

// Selects a user. With Shift, all from the one that was selected last. The key x does the same in a row; see ui/rows.ts.
export function Select({ user }: { user: UserSummary }) {
  const { manager, myId } = useManaging();
  const { bulk } = useMessages();
  const isSelected = useManaged((state) => state.selected.has(user.clerkId));
  const isMine = user.clerkId === myId;
  return (
    <label className="check">
      <input
        type="checkbox"
        aria-label={bulk.select(displayName(user))}
        title={isMine ? bulk.isYou : undefined}
        disabled={isMine}
        checked={isSelected}
        onChange={(event) => {
          const isRange = (event.nativeEvent as MouseEvent).shiftKey;
          manager.toggle(user, isRange, ({ clerkId }) => clerkId !== myId);
        }}
      />
    </label>
  );
}

// Selects all users that are loaded, or none.
export function SelectAll() {
  const { manager, myId } = useManaging();
  const { bulk } = useMessages();
  const count = useManaged((state) => state.selected.size);
  const rows = useManaged((state) => state.rows);
  const box = useRef<HTMLInputElement>(null);
  const all = rows.filter((user) => user.clerkId !== myId);
  const isAll = count > 0 && count === all.length;
  useEffect(() => {
    box.current!.indeterminate = count > 0 && !isAll;
  }, [count, isAll]);
  return (
    <label className="check">
      <input
        ref={box}
        type="checkbox"
        aria-label={bulk.selectAll}
        disabled={all.length === 0}
        checked={isAll}
        onChange={() => manager.select(isAll ? [] : all)}
      />
    </label>
  );
}

// The actions for the selected users. Only users that the list shows stay selected.
export function SelectionBar({ rows }: { rows: readonly UserSummary[] }) {
  const { manager } = useManaging();
  const { isOn } = useOptions();
  const { bulk } = useMessages();
  const { number } = useFormats();
  const obstacle = useObstacle();
  const selected = useManaged((state) => state.selected);
  const isRunning = useManaged((state) => state.job?.isRunning === true);
  useLayout(() => manager.showRows(rows), [manager, rows]);
  useLayout(() => () => manager.showRows([]), [manager]);

  const reason = obstacle ?? (isRunning ? bulk.wait : null);
  const count = selected.size;
  return (
    <div className="selection" role="region" aria-label={bulk.selection} hidden={count === 0}>
      <span role="status">{count > 0 && bulk.selected(number(count))}</span>
      <div className="buttons" role="group" aria-label={bulk.actions}>
        {OFFERED.filter(isOn).map((action) => (
          <button
            key={action}
            className={action === "delete" ? "button is-danger-quiet" : "button"}
            type="button"
            aria-disabled={reason !== null}
            title={reason ?? undefined}
            onClick={() => reason === null && manager.chooseAll(action, [...selected.values()])}
          >
            {WORDS[action].label}
          </button>
        ))}
        <button className="button" type="button" onClick={() => manager.select([])}>
          {bulk.clear}
        </button>
      </div>
    </div>
  );
}
