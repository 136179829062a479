import { useId, useLayoutEffect, useRef } from "react";
import type { UserSummary } from "../functions.ts";
import { ActionButton } from "./ActionButton.tsx";
import { useManaging } from "./context.ts";
import { Notices } from "./Notices.tsx";
import { useRefusals } from "./useRefusals.ts";
import { actionsFor, WORDS } from "./words.tsx";

// What can be done with a user, among the details.
export function UserActions({ user }: { user: UserSummary }) {
  const refusals = useRefusals(user);
  const id = useId();
  const group = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    const element = group.current!;
    return () => {
      if (element.contains(document.activeElement)) element.closest("dialog")?.focus();
    };
  }, []);

  return (
    <div className="user-actions">
      <div ref={group} className="buttons" role="group" aria-label="Actions">
        {actionsFor(user.status)
          .flat()
          .map((action) => (
            <ActionButton
              key={action.replace("un", "")} // one button, by which it is undone too; and the focus stays on it
              action={action}
              user={user}
              refusals={refusals}
              reasonId={id}
              className={action === "delete" ? "button is-danger-quiet" : "button"}
            >
              {WORDS[action].label}
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

// Within the dialog of the details, which keeps everything else from being read and used.
export function DetailsNotices() {
  const { manager } = useManaging();
  useLayoutEffect(() => {
    manager.set({ isInDetails: true });
    return () => manager.set({ isInDetails: false });
  }, [manager]);
  return <Notices />;
}
