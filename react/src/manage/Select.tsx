import { useEffect, useRef } from "react";
import type { UserSummary } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { errorReason } from "../ui/errorReason.ts";
import { useLayout } from "../ui/useLayout.ts";
import { useOptions } from "../admin/options.ts";
import { displayName } from "../users/displayName.ts";
import type { List } from "../users/manage.ts";
import { OFFERED } from "./bulk.ts";
import { useManaged, useManaging, useObstacle } from "./context.ts";
import { useGather } from "./useGather.ts";

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
  const selected = useManaged((state) => state.selected);
  const isAll = count > 0 && count >= all.length && all.every((user) => selected.has(user.clerkId));
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

// The actions for the selected users. Only users that the list shows stay selected, unless all that match were selected.
export function SelectionBar({ rows, args, total, hasMore }: List) {
  const { manager, myId } = useManaging();
  const { isOn } = useOptions();
  const { bulk, manage, ui } = useMessages();
  const { number } = useFormats();
  const obstacle = useObstacle();
  const selected = useManaged((state) => state.selected);
  const isRunning = useManaged((state) => state.job?.isRunning === true);
  const isBeyond = useManaged((state) => state.isBeyond);
  const view = JSON.stringify(args);
  const { gathering, start, stop } = useGather(args, view);
  useLayout(() => manager.showRows(rows, view), [manager, rows, view]);
  useLayout(() => () => manager.showRows([]), [manager]);

  const isGathering = gathering?.is === "running";
  const reason = obstacle ?? (isRunning || isGathering ? bulk.wait : null);
  const count = selected.size;
  const canGather = hasMore && !isBeyond && rows.every(({ clerkId }) => clerkId === myId || selected.has(clerkId));
  return (
    <div className="selection" role="region" aria-label={bulk.selection} hidden={count === 0}>
      <span role="status">
        {isGathering ? bulk.gathering : count > 0 && bulk.selected(count, number(count))}
        {count > 0 && isBeyond && gathering?.is === "done" && gathering.isCut && ` ${bulk.cut(gathering.count, number(gathering.count))}`}
        {gathering?.is === "failed" && ` ${bulk.notGathered} ${errorReason(gathering.error, ui)}`}
      </span>
      {isGathering && <span className="muted">{number(gathering.count)}</span>}
      {(isGathering || canGather) && (
        <button className="link-button" type="button" onClick={() => (isGathering ? stop() : void start())}>
          {isGathering ? bulk.cancel : total === undefined ? bulk.selectMatching(null, "") : bulk.selectMatching(total, number(total))}
        </button>
      )}
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
            {manage.label[action]}
          </button>
        ))}
        <button className="button" type="button" onClick={() => manager.select([])}>
          {bulk.clear}
        </button>
      </div>
    </div>
  );
}
