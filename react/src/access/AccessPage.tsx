import { useEffect, useState } from "react";
import { useSession } from "../auth/session.ts";
import type { Reason } from "../data/denied.ts";
import { Frame } from "../frame/Frame.tsx";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Live } from "../ui/Live.tsx";
import { useTitle } from "../ui/useTitle.ts";

type Props = { reason: Reason | "not_accepted"; clerkId?: string };

const GOES_ON = "This page continues by itself when that has happened.";

const TEXTS: Record<Props["reason"], { title: string; text: string }> = {
  not_signed_in: {
    title: "Sign in to see the users",
    text: "This dashboard is for administrators.",
  },
  not_accepted: {
    title: "Your sign-in was not accepted",
    text: "You are signed in, but this page could not confirm it. Sign in again, and if that does not help, tell your administrator.",
  },
  not_synced: {
    title: "Your account has not arrived yet",
    text: `It usually takes a few seconds. ${GOES_ON}`,
  },
  deleted: {
    title: "Your account was deleted",
    text: "Sign in with another one.",
  },
  not_active: {
    title: "Your account is banned or locked, or your company has removed it",
    text: `Another administrator can end a ban or a lock, and your company’s directory can take you back. ${GOES_ON}`,
  },
  not_admin: {
    title: "This page is for administrators",
    text: `Your account has no access to it. If you need it, ask an administrator, who may want to know your id. ${GOES_ON}`,
  },
};

// For developers, on the console: the page itself is read by users.
const HINTS: Partial<Record<Props["reason"], string>> = {
  not_accepted: "clerk-convex: Clerk has a session, and Convex does not accept its token. Check CLERK_JWT_ISSUER_DOMAIN in Convex.",
  not_synced: "clerk-convex: Convex has no row of this user. The service, Clerk's webhook or a backfill brings it.",
  not_admin: 'clerk-convex: this user is no admin. In Clerk, set the public metadata {"role": "admin"}.',
};

// Explains why the caller may not see users, and what the caller can do.
export function AccessPage({ reason, clerkId }: Props) {
  const { signIn, signOut, switchAccount } = useSession();
  const { title, text } = TEXTS[reason];
  const [problem, setProblem] = useState<string | null>(null);
  useTitle(title);
  useEffect(() => {
    if (HINTS[reason] !== undefined) console.info(HINTS[reason]);
  }, [reason]);

  const attempt = (action: () => Promise<void>) => () => {
    setProblem(null);
    action().catch(() => setProblem("Clerk cannot be reached just now, so nothing has changed. Try again."));
  };

  return (
    <Frame end={<Live />}>
      <section className="access" data-reason={reason}>
        <h1>{title}</h1>
        <p>{text}</p>
        {clerkId !== undefined && (
          <p className="access-id muted">
            Your id: <code>{clerkId}</code>
            <CopyButton text={clerkId} label="your id" />
          </p>
        )}
        {reason === "not_signed_in" ? (
          <div className="foreign">{signIn}</div>
        ) : (
          <div className="buttons">
            {switchAccount !== undefined && (
              <button className="button is-primary" type="button" onClick={attempt(switchAccount)}>
                Switch account
              </button>
            )}
            {signOut !== undefined && (
              <button className="button" type="button" onClick={attempt(signOut)}>
                Sign out
              </button>
            )}
          </div>
        )}
        {problem !== null && <p role="alert">{problem}</p>}
      </section>
    </Frame>
  );
}
