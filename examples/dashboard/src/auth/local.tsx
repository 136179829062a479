// Signs in at the local Clerk, to try the page without an account.
import { SessionProvider, type Session } from "clerk-convex-react";
import type { ConvexReactClient } from "convex/react";
import { ConvexProviderWithClerk } from "convex/react-clerk";
import { useMemo, useSyncExternalStore, type ReactNode } from "react";
import { LocalSession } from "./localSession.ts";

export function localAuth(convex: ConvexReactClient, clerkUrl: string) {
  const local = new LocalSession(clerkUrl);

  // The part of Clerk's useAuth that ConvexProviderWithClerk uses.
  function useAuth() {
    const { isLoaded, sessionId } = useSyncExternalStore(local.subscribe, () => local.state);
    return {
      isLoaded,
      isSignedIn: sessionId !== null,
      sessionId,
      sessionClaims: { aud: "convex" },
      getToken: local.getToken,
      orgId: null,
      orgRole: null,
    };
  }

  return function LocalAuth({ children }: { children: ReactNode }) {
    const { isSignedIn } = useAuth();
    const session = useMemo<Session>(
      () => ({
        isSignedIn,
        signIn: <SignIn />,
        getToken: local.getToken,
        signOut: local.signOut,
        switchAccount: async () => location.assign(local.signInUrl()),
      }),
      [isSignedIn],
    );
    return (
      <ConvexProviderWithClerk client={convex} useAuth={useAuth}>
        <SessionProvider value={session}>{children}</SessionProvider>
      </ConvexProviderWithClerk>
    );
  };

  function SignIn() {
    return (
      <a className="button is-primary" href={local.signInUrl()}>
        Sign in
      </a>
    );
  }
}
