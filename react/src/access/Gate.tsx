import { useConvexAuth } from "convex/react";
import type { ReactNode } from "react";
import { useSession } from "../auth/session.ts";
import { deniedReason } from "../data/denied.ts";
import { useAnswer } from "../data/useAnswer.ts";
import { Frame } from "../frame/Frame.tsx";
import { useFunctions, type Me } from "../functions.ts";
import type { Service } from "../manage/calls.ts";
import { useMessages } from "../messages/messages.ts";
import { Boundary } from "../ui/Boundary.tsx";
import { Failure } from "../ui/Failure.tsx";
import { Live } from "../ui/Live.tsx";
import { AccessPage } from "./AccessPage.tsx";
import { useEnsureUser } from "./useEnsureUser.ts";

const NO_ARGS = {};

// service: brings the row of a user who has just signed up. null: the webhook brings it.
type Props = { children: (me: Me) => ReactNode; waiting: ReactNode; service?: Service | null };

const noToken = async () => null;

// Shows its children to admins, as long as they are admins. It subscribes to the caller's own user, which everyone who
// is signed in may read. So the page disappears, with open dialogs, when an admin is demoted, and appears when a user
// is promoted.
export function Gate({ children, waiting, service = null }: Props): ReactNode {
  const { isLoading, isAuthenticated } = useConvexAuth();
  const { isSignedIn } = useSession();
  const { currentUser } = useFunctions();
  const { access } = useMessages();
  const { value: me, error, retry } = useAnswer(currentUser, isAuthenticated ? NO_ARGS : null);

  useEnsureUser(service?.url ?? null, me?.state === "not_synced", service?.getToken ?? noToken);

  if (isLoading) return waiting;
  if (!isAuthenticated) return <AccessPage reason={isSignedIn ? "not_accepted" : "not_signed_in"} />;
  if (error !== undefined) {
    const reason = deniedReason(error);
    if (reason !== null) return <AccessPage reason={reason} />;
    return (
      <Frame end={<Live />}>
        <Failure title={access.notLoaded} error={error} onRetry={retry} />
      </Frame>
    );
  }
  if (me === undefined) return waiting;
  if (me.state !== "synced") return <AccessPage reason={me.state} clerkId={me.clerkId} />;
  if (!me.isAdmin) {
    const reason = me.user.status === "active" ? "not_admin" : "not_active";
    return <AccessPage reason={reason} clerkId={me.user.clerkId} />;
  }
  // A query may be refused before the change of the caller's own user arrives.
  return (
    <Boundary
      resetKey={me}
      fallback={(thrown, again) => {
        const reason = deniedReason(thrown);
        if (reason !== null) return <AccessPage reason={reason} />;
        return (
          <Frame end={<Live />}>
            <Failure title={access.broken} error={thrown} onRetry={again} />
          </Frame>
        );
      }}
    >
      {children(me)}
    </Boundary>
  );
}
