import { useEffect } from "react";
import { useOptions } from "../admin/options.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { useKey } from "../ui/useKey.ts";

const NOTE_MS = 8000;

export type Note = { text: string; number: number }; // the number tells equal texts apart

type Props = {
  waiting: number; // new rows that are not shown yet
  isNewest: boolean; // they are users who have just signed up
  onShow: (isByKeyboard: boolean) => void;
  note: Note | null;
  onNoted: () => void;
};

// Says which users have come or gone while the list was held still. It lies over the list, so that nothing moves.
export function News({ waiting, isNewest, onShow, note, onNoted }: Props) {
  const { list } = useMessages();
  const { number } = useFormats();
  const { keys } = useOptions();
  useKey(".", waiting > 0 ? () => onShow(false) : null);
  useEffect(() => {
    if (note === null) return;
    const timer = setTimeout(onNoted, NOTE_MS);
    return () => clearTimeout(timer);
  }, [note, onNoted]);

  const text = isNewest ? list.newUsers(waiting, number(waiting)) : list.moreUsers(waiting, number(waiting));
  return (
    <div className="news">
      {waiting > 0 && (
        <button
          className="pill"
          type="button"
          aria-keyshortcuts={keys ? "." : undefined}
          title={keys ? list.showKey : undefined}
          onClick={(event) => onShow(event.detail === 0)}
        >
          {text}
        </button>
      )}
      <div role="status" className={note === null ? "visually-hidden" : "note"}>
        {note === null ? waiting > 0 && (keys ? list.waiting : list.waitingNoKey) : <span key={note.number}>{note.text}</span>}
      </div>
    </div>
  );
}
