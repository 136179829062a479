import { useId, useRef } from "react";
import { useSteady } from "../ui/useSteady.ts";
import { useLayout } from "../ui/useLayout.ts";
import type { UserSummary } from "../functions.ts";
import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { ActionButton } from "./ActionButton.tsx";
import { useManaging } from "./context.ts";
import { Notices } from "./Notices.tsx";
import { useRefusals } from "./useRefusals.ts";
import { actionsFor } from "./actions.ts";

// The actions on a user, in the details.
export function UserActions({ user }: { user: UserSummary }) {
  const { isOn } = useOptions();
  const status = useSteady(user.status); // no button becomes another one while it is pressed
  const refusals = useRefusals(user);
  const { manage } = useMessages();
  const id = useId();
  const group = useRef<HTMLDivElement>(null);

  useLayout(() => {
    const element = group.current!;
    return () => {
      if (element.contains(document.activeElement)) element.closest("dialog")?.focus();
    };
  }, []);

  return (
    <div className="user-actions">
      <div ref={group} className="buttons" role="group" aria-label={manage.actions}>
        {actionsFor(status, isOn)
          .flat()
          .map((action) => (
            <ActionButton
              key={action.replace("un", "")} // an action and its opposite share a button, which keeps the focus
              action={action}
              user={user}
              refusals={refusals}
              reasonId={id}
              className={action === "delete" ? "button is-danger-quiet" : "button"}
            >
              {manage.label[action]}
            </ActionButton>
          ))}
      </div>
      {refusals.reason !== null && (
        <p className="reason" id={id}>
          {refusals.reason}
        </p>
      )}
    </div>
  );
}

// Notices within the dialog of the details, because everything outside a modal dialog is inert.
export function DetailsNotices() {
  const { manager } = useManaging();
  useLayout(() => {
    manager.set({ isInDetails: true });
    return () => manager.set({ isInDetails: false });
  }, [manager]);
  return <Notices />;
}
