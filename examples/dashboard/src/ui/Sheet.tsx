import { useLayoutEffect, useRef, type ReactNode } from "react";
import { Icon } from "./Icon.tsx";

type Props = { label: string; onClose: () => void; children: ReactNode };

// A dialog at the side. Native: it keeps the focus, gives it back, and Escape closes it.
export function Sheet({ label, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);

  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    element?.focus(); // and not its first button
    return () => element?.close(); // gives the focus back, which going away does not
  }, []);

  return (
    <dialog
      ref={dialog}
      className="sheet"
      tabIndex={-1}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault(); // the URL says whether this is open
        onClose();
      }}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
    >
      <div className="sheet-body">
        <button
          className="icon-button sheet-close"
          type="button"
          aria-label="Close"
          title="Close"
          onClick={onClose}
        >
          <Icon size={16}>
            <path d="m4 4 8 8m0-8-8 8" />
          </Icon>
        </button>
        {children}
      </div>
    </dialog>
  );
}
