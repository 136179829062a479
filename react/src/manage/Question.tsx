import { useId, type ReactNode } from "react";
import { useObstacle } from "./context.ts";
import { DialogButtons } from "./DialogButtons.tsx";
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
  const obstacle = useObstacle();
  const id = useId();
  return (
    <Modal role="alertdialog" labelId={id} describedBy={`${id}-text`} onClose={onClose}>
      <h2 id={id} className="modal-title">
        {title}
      </h2>
      {children}
      <p id={`${id}-text`}>{text}</p>
      <DialogButtons obstacle={isLocal ? null : obstacle} isDanger onCancel={onClose} onConfirm={onConfirm}>
        {confirm}
      </DialogButtons>
    </Modal>
  );
}
