import type { ReactNode } from "react";
import type { UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { useManaged } from "./context.ts";
import { isUnderWay } from "./Manager.ts";

// Shown in place of a user's status while an action is in progress.
export function Progress({ user, children }: { user: UserSummary; children: ReactNode }) {
  const pending = useManaged((state) => state.pending.get(user.clerkId));
  const { manage } = useMessages();
  if (pending === undefined || !isUnderWay(pending, user)) return children;
  return (
    <span className="progress muted">
      <span className="progress-dot" aria-hidden="true" />
      {manage.progress[pending.call.action]}
    </span>
  );
}
