import { useLayoutEffect, useRef, type ReactNode } from "react";

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
        <button className="icon-button sheet-close" type="button" aria-label="Close" title="Close" onClick={onClose}>
          <svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
            <path d="m4 4 8 8m0-8-8 8" strokeLinecap="round" />
          </svg>
        </button>
        {children}
      </div>
    </dialog>
  );
}
