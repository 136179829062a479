import type { DialogHTMLAttributes, SyntheticEvent } from "react";

type DialogEvent = SyntheticEvent<HTMLDialogElement>;
type Handlers = Pick<DialogHTMLAttributes<HTMLDialogElement>, "onCancel" | "onClose"> & {
  onCloseCapture: (event: DialogEvent) => void; // React's types do not have it
};

// Returns the handlers of a <dialog> that closes only when React takes it away: what Escape does is up to `onClose`.
// Without a click or a key in between, Chromium lets nobody prevent a second Escape, and closes with the dialog those
// around it that were opened without one. They open again, the outer ones first.
export function keepOpen(onClose: () => void): Handlers {
  const isOwn = ({ target, currentTarget }: DialogEvent) => target === currentTarget; // React passes on what an inner dialog is told
  return {
    onCancel: (event) => {
      if (!isOwn(event) || !event.cancelable) return; // if it is not, onClose follows
      event.preventDefault();
      onClose();
    },
    onCloseCapture: (event) => {
      if (!isOwn(event)) reopen(event.currentTarget);
    },
    onClose: (event) => {
      if (isOwn(event) && reopen(event.currentTarget)) onClose();
    },
  };
}

function reopen(dialog: HTMLDialogElement): boolean {
  if (dialog.open || !dialog.isConnected) return false;
  show(dialog);
  return true;
}

// Focuses the element with data-first, if there is one.
export function show(dialog: HTMLDialogElement): void {
  dialog.showModal();
  dialog.querySelector<HTMLElement>("[data-first]")?.focus();
}
