import { useId } from "react";
import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { useManaging, useObstacle } from "./context.ts";

// The buttons beside the filters: Invite, and New user.
export function NewUserButton() {
  const { isOn } = useOptions();
  if (!isOn("create")) return <InviteButton isPrimary />;
  return (
    <span className="new-user">
      <InviteButton />
      <DialogButton action="create" isPrimary />
    </span>
  );
}

export function InviteButton({ isPrimary = false }: { isPrimary?: boolean }) {
  const { isOn } = useOptions();
  return isOn("invite") && <DialogButton action="invite" isPrimary={isPrimary} />;
}

// Opens the form of an action. If no action is possible, the button stays and says why.
function DialogButton({ action, isPrimary }: { action: "create" | "invite"; isPrimary: boolean }) {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const { manage } = useMessages();
  const id = useId();
  return (
    <span className="new-user">
      <button
        className={isPrimary ? "button is-primary" : "button"}
        type="button"
        aria-disabled={obstacle !== null}
        aria-describedby={obstacle === null ? undefined : id}
        onClick={() => {
          if (obstacle === null) manager.set({ dialog: { kind: action === "create" ? "new" : "invite" } });
        }}
      >
        {manage.label[action]}
      </button>
      {obstacle !== null && (
        <span className="new-user-reason" role="tooltip" id={id}>
          {obstacle}
        </span>
      )}
    </span>
  );
}
