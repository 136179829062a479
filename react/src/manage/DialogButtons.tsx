import { useId, type ReactNode } from "react";
import { useMessages } from "../messages/messages.ts";

type Props = {
  children: ReactNode; // the text of the button that acts
  obstacle: string | null; // why it cannot act
  isOff?: boolean; // it cannot act, and something else says why
  describedBy?: string; // what else says why
  isDanger?: boolean; // then Cancel has the focus at first
  onCancel: () => void;
  onConfirm?: () => void; // without it the button submits its form
};

// The end of a dialog: the reason why it cannot act, and its buttons.
export function DialogButtons({ children, obstacle, isOff = false, describedBy, isDanger = false, onCancel, onConfirm }: Props) {
  const { forms } = useMessages();
  const id = useId();
  const cannot = isOff || obstacle !== null;
  return (
    <>
      {obstacle !== null && (
        <p className="reason" id={id}>
          {obstacle}
        </p>
      )}
      <div className="modal-buttons buttons">
        <button className="button" type="button" data-first={isDanger || undefined} onClick={onCancel}>
          {forms.cancel}
        </button>
        <button
          className={isDanger ? "button is-danger" : "button is-primary"}
          type={onConfirm === undefined ? "submit" : "button"}
          aria-disabled={cannot}
          aria-describedby={obstacle === null ? describedBy : id}
          onClick={() => !cannot && onConfirm?.()}
        >
          {children}
        </button>
      </div>
    </>
  );
}
