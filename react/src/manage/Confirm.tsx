import { useId } from "react";
import type { UserSummary } from "../functions.ts";
import { displayName } from "../users/displayName.ts";
import { useManaging, useObstacle } from "./context.ts";
import type { Asked } from "./Manager.ts";
import { Modal } from "./Modal.tsx";
import { Person } from "./Person.tsx";
import { CONSEQUENCES, WORDS } from "./words.tsx";

export function Confirm({ user, action }: { user: UserSummary; action: Asked }) {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const id = useId();
  const name = displayName(user);
  const { label } = WORDS[action];
  const close = () => manager.set({ dialog: null });

  return (
    <Modal role="alertdialog" labelId={id} describedBy={`${id}-text`} onClose={close}>
      <h2 id={id} className="modal-title">
        {label} <bdi>{name}</bdi>?
      </h2>
      <Person user={user} />
      <p id={`${id}-text`}>
        {CONSEQUENCES[action]}
        {user.role === "admin" && " This is an administrator, who loses access to this dashboard."}
      </p>
      {obstacle !== null && (
        <p className="reason" id={`${id}-reason`}>
          {obstacle}
        </p>
      )}
      <div className="modal-buttons buttons">
        <button className="button" type="button" data-first onClick={close}>
          Cancel
        </button>
        <button
          className="button is-danger"
          type="button"
          aria-disabled={obstacle !== null}
          aria-describedby={obstacle === null ? undefined : `${id}-reason`}
          onClick={() => {
            if (obstacle !== null) return;
            close();
            void manager.do({ action, clerkId: user.clerkId }, name);
          }}
        >
          {label} <bdi className="truncate">{name}</bdi>
        </button>
      </div>
    </Modal>
  );
}
