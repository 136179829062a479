import { useEffect, useState } from "react";
import { useSession } from "../auth/session.ts";
import type { Reason } from "../data/denied.ts";
import { Frame } from "../frame/Frame.tsx";
import { useMessages } from "../messages/messages.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Live } from "../ui/Live.tsx";
import { useTitle } from "../ui/useTitle.ts";

type Props = { reason: Reason | "not_accepted"; clerkId?: string };

// For developers, on the console: the page itself is read by users.
const HINTS: Partial<Record<Props["reason"], string>> = {
  not_accepted: "clerk-convex: Clerk has a session, and Convex does not accept its token. Check CLERK_JWT_ISSUER_DOMAIN in Convex.",
  not_synced: "clerk-convex: Convex has no row of this user. The service, Clerk's webhook or a backfill brings it.",
  not_admin: 'clerk-convex: this user is no admin. In Clerk, set the public metadata {"role": "admin"}.',
};

// Explains why the caller may not see users, and what the caller can do.
export function AccessPage({ reason, clerkId }: Props) {
  const { signIn, signOut, switchAccount } = useSession();
  const { access, frame } = useMessages();
  const title = access.title[reason];
  const [problem, setProblem] = useState<string | null>(null);
  useTitle(title);
  useEffect(() => {
    if (HINTS[reason] !== undefined) console.info(HINTS[reason]);
  }, [reason]);

  const attempt = (action: () => Promise<void>) => () => {
    setProblem(null);
    action().catch(() => setProblem(access.noClerk));
  };

  return (
    <Frame end={<Live />}>
      <section className="access" data-reason={reason}>
        <h1>{title}</h1>
        <p>{access.text[reason]}</p>
        {clerkId !== undefined && (
          <p className="access-id muted">
            {access.yourId} <code>{clerkId}</code>
            <CopyButton text={clerkId} label={access.yourIdCopied} />
          </p>
        )}
        {reason === "not_signed_in" ? (
          <div className="foreign">{signIn}</div>
        ) : (
          <div className="buttons">
            {switchAccount !== undefined && (
              <button className="button is-primary" type="button" onClick={attempt(switchAccount)}>
                {frame.switchAccount}
              </button>
            )}
            {signOut !== undefined && (
              <button className="button" type="button" onClick={attempt(signOut)}>
                {frame.signOut}
              </button>
            )}
          </div>
        )}
        {problem !== null && <p role="alert">{problem}</p>}
      </section>
    </Frame>
  );
}
