import { useRef, type ReactNode } from "react";
import { useLayout } from "../ui/useLayout.ts";

type Props = { labelId: string; role?: "alertdialog"; describedBy?: string; isWide?: boolean; onClose: () => void; children: ReactNode };

// A dialog in the middle of the window. It focuses the element with data-first, and restores the focus when it closes.
export function Modal({ labelId, role, describedBy, isWide = false, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);

  useLayout(() => {
    const element = dialog.current;
    element?.showModal();
    element?.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => {
      // While a dialog within this one is open, the focus cannot go back to where it was.
      for (const inner of element?.querySelectorAll<HTMLDialogElement>("dialog[open]") ?? []) inner.close();
      element?.close();
    };
  }, []);

  return (
    <dialog
      ref={dialog}
      className={isWide ? "modal is-wide" : "modal"}
      role={role}
      aria-labelledby={labelId}
      aria-describedby={describedBy}
      onCancel={(event) => {
        if (event.target !== event.currentTarget) return; // React passes on what a dialog within this one is told
        event.preventDefault();
        onClose();
      }}
    >
      {children}
    </dialog>
  );
}
