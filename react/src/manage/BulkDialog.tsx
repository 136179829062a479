import { useId, type FormEvent } from "react";
import type { UserSummary } from "../functions.ts";
import { displayName } from "../users/displayName.ts";
import type { Confirmed } from "./bulk.ts";
import { useManaging, useObstacle } from "./context.ts";
import { Modal } from "./Modal.tsx";
import { RoleField } from "./RoleField.tsx";
import { CONSEQUENCES_FOR_ALL, WORDS } from "./words.tsx";

const NAMED = 5; // users whose names are shown

type Props = { action: Confirmed; users: readonly UserSummary[] };

// Asks before an action on several users, as Confirm does for one.
export function BulkDialog({ action, users }: Props) {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const id = useId();
  const isRole = action === "role";
  const label = `${WORDS[action].label}${isRole ? " of" : ""} ${usersText(users.length)}`;
  const admins = users.filter((user) => user.role === "admin").length;
  const close = () => manager.set({ dialog: null });

  const onSubmit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (obstacle !== null) return;
    const role = String(new FormData(event.currentTarget).get("public_metadata") ?? "").trim();
    close();
    void manager.doAll(action, isRole && role !== "" ? role : null, users);
  };

  return (
    <Modal role={isRole ? undefined : "alertdialog"} labelId={id} describedBy={`${id}-text`} onClose={close}>
      <h2 id={id} className="modal-title">
        {label}
        {!isRole && "?"}
      </h2>
      <form className="form" noValidate autoComplete="off" onSubmit={onSubmit}>
        <ul className="person bulk-names">
          {users.slice(0, NAMED).map((user) => (
            <li key={user.clerkId} className="truncate" dir="auto">
              {displayName(user)}
            </li>
          ))}
          {users.length > NAMED && <li className="muted">and {users.length - NAMED} more</li>}
        </ul>
        {isRole && <RoleField role="" errors={{}} isFirst />}
        <p id={`${id}-text`}>
          {CONSEQUENCES_FOR_ALL[action]}
          {admins === 1 && " One of them is an administrator, who loses access to this dashboard."}
          {admins > 1 && ` ${admins} of them are administrators, who lose access to this dashboard.`}
        </p>
        {obstacle !== null && (
          <p className="reason" id={`${id}-reason`}>
            {obstacle}
          </p>
        )}
        <div className="modal-buttons buttons">
          <button className="button" type="button" data-first={!isRole || undefined} onClick={close}>
            Cancel
          </button>
          <button
            className={isRole ? "button is-primary" : "button is-danger"}
            type="submit"
            aria-disabled={obstacle !== null}
            aria-describedby={obstacle === null ? undefined : `${id}-reason`}
          >
            {label}
          </button>
        </div>
      </form>
    </Modal>
  );
}

export function usersText(count: number): string {
  return count === 1 ? "1 user" : `${count} users`;
}
