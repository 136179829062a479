import { useId, type FormEvent } from "react";
import type { UserSummary } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { displayName } from "../users/displayName.ts";
import type { Confirmed } from "./bulk.ts";
import { useManaging, useObstacle } from "./context.ts";
import { DialogButtons } from "./DialogButtons.tsx";
import { Modal } from "./Modal.tsx";
import { RoleField } from "./RoleField.tsx";

const NAMED = 5; // users whose names are shown

type Props = { action: Confirmed; users: readonly UserSummary[] };

// Asks before an action on several users, as Confirm does for one.
export function BulkDialog({ action, users }: Props) {
  const { manager } = useManaging();
  const { bulk, manage } = useMessages();
  const { number } = useFormats();
  const obstacle = useObstacle();
  const id = useId();
  const isRole = action === "role";
  const label = bulk.title(action, users.length, number(users.length));
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
        {isRole ? label : bulk.question(action, users.length, number(users.length))}
      </h2>
      <form className="form" noValidate autoComplete="off" onSubmit={onSubmit}>
        <ul className="person bulk-names">
          {users.slice(0, NAMED).map((user) => (
            <li key={user.clerkId} className="truncate" dir="auto">
              {displayName(user)}
            </li>
          ))}
          {users.length > NAMED && <li className="muted">{bulk.andMore(users.length - NAMED, number(users.length - NAMED))}</li>}
        </ul>
        {isRole && <RoleField role="" errors={{}} isFirst />}
        <p id={`${id}-text`}>
          {manage.consequenceForAll[action]}
          {admins > 0 && ` ${bulk.admins(admins, number(admins))}`}
        </p>
        <DialogButtons obstacle={obstacle} isDanger={!isRole} onCancel={close}>
          {label}
        </DialogButtons>
      </form>
    </Modal>
  );
}
