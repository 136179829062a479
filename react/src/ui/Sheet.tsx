import { useRef, type ReactNode } from "react";
import { useMessages } from "../messages/messages.ts";
import { keepOpen } from "./keepOpen.ts";
import { useLatest, useLayout } from "./useLayout.ts";
import { CloseButton } from "./CloseButton.tsx";

type Props = {
  label: string;
  // The element that gets the focus afterwards, if not the one that had it before.
  returnTo: () => HTMLElement | null;
  onClose: () => void;
  children: ReactNode;
};

// A dialog at the side of the window. It is a native <dialog>, which traps and restores the focus and closes on Escape.
export function Sheet({ label, returnTo, onClose, children }: Props) {
  const { ui } = useMessages();
  const dialog = useRef<HTMLDialogElement>(null);
  const findReturn = useLatest(returnTo);

  useLayout(() => {
    const element = dialog.current;
    element?.showModal();
    element?.focus(); // focus the dialog and not its first button
    return () => {
      element?.close(); // close() restores the focus; removing the element does not
      findReturn()?.focus();
    };
  }, [findReturn]);

  return (
    <dialog
      ref={dialog}
      className="sheet"
      tabIndex={-1}
      aria-label={label}
      {...keepOpen(onClose)} // the URL decides whether the sheet is open
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
    >
      <div className="sheet-body">
        <CloseButton className="sheet-close" label={ui.close} onClick={onClose} />
        {children}
      </div>
    </dialog>
  );
}
