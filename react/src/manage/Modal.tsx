import { useRef, type ReactNode } from "react";
import { keepOpen, show } from "../ui/keepOpen.ts";
import { useLayout } from "../ui/useLayout.ts";

type Props = { labelId: string; role?: "alertdialog"; describedBy?: string; isWide?: boolean; onClose: () => void; children: ReactNode };

// A dialog in the middle of the window. It focuses the element with data-first, and restores the focus when it closes.
export function Modal({ labelId, role, describedBy, isWide = false, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);

  useLayout(() => {
    const element = dialog.current;
    if (element) show(element);
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
      {...keepOpen(onClose)}
    >
      {children}
    </dialog>
  );
}
