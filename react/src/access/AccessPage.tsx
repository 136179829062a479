import { useState, type ReactNode } from "react";
import { useSession } from "../auth/session.ts";
import type { Reason } from "../data/denied.ts";
import { Frame } from "../frame/Frame.tsx";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Live } from "../ui/Live.tsx";
import { useTitle } from "../ui/useTitle.ts";

type Props = { reason: Reason | "not_accepted"; clerkId?: string };

const GOES_ON = "This page continues by itself when that has happened.";

const TEXTS: Record<Props["reason"], { title: string; text: ReactNode }> = {
  not_signed_in: {
    title: "Sign in to see the users",
    text: "This dashboard is for administrators.",
  },
  not_accepted: {
    title: "Convex did not accept your sign-in",
    text: "You are signed in at Clerk, but Convex does not trust its tokens: check CLERK_JWT_ISSUER_DOMAIN in Convex.",
  },
  not_synced: {
    title: "Your account has not arrived yet",
    text: `The service, Clerk’s webhook or a backfill brings it to Convex. ${GOES_ON}`,
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
    text: (
      <>
        Ask one to make you an administrator, or set your public metadata to{" "}
        <code>{'{"role": "admin"}'}</code> in Clerk. {GOES_ON}
      </>
    ),
  },
};

// Explains why the caller may not see users, and what the caller can do.
export function AccessPage({ reason, clerkId }: Props) {
  const { signIn, signOut, switchAccount } = useSession();
  const { title, text } = TEXTS[reason];
  const [problem, setProblem] = useState<string | null>(null);
  useTitle(title);

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
          signIn
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
