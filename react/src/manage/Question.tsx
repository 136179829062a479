import { useId, type ReactNode } from "react";
import { useMessages } from "../messages/messages.ts";
import { useObstacle } from "./context.ts";
import { Modal } from "./Modal.tsx";

type Props = {
  title: ReactNode;
  text: ReactNode;
  confirm: ReactNode; // the text of the button
  isLocal?: boolean; // no call follows, so no obstacle matters
  onClose: () => void;
  onConfirm: () => void;
  children?: ReactNode;
};

// Asks before something dangerous. Cancel has the focus.
export function Question({ title, text, confirm, isLocal = false, onClose, onConfirm, children }: Props) {
  const { forms } = useMessages();
  const reason = useObstacle();
  const obstacle = isLocal ? null : reason;
  const id = useId();
  return (
    <Modal role="alertdialog" labelId={id} describedBy={`${id}-text`} onClose={onClose}>
      <h2 id={id} className="modal-title">
        {title}
      </h2>
      {children}
      <p id={`${id}-text`}>{text}</p>
      {obstacle !== null && (
        <p className="reason" id={`${id}-reason`}>
          {obstacle}
        </p>
      )}
      <div className="modal-buttons buttons">
        <button className="button" type="button" data-first onClick={onClose}>
          {forms.cancel}
        </button>
        <button
          className="button is-danger"
          type="button"
          aria-disabled={obstacle !== null}
          aria-describedby={obstacle === null ? undefined : `${id}-reason`}
          onClick={() => obstacle === null && onConfirm()}
        >
          {confirm}
        </button>
      </div>
    </Modal>
  );
}
