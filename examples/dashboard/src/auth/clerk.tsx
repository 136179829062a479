// Signs in with Clerk.
import { ClerkProvider, SignIn, useAuth, useClerk } from "@clerk/react";
import { SessionProvider, type Session } from "clerk-convex-react";
import type { ConvexReactClient } from "convex/react";
import { ConvexProviderWithClerk } from "convex/react-clerk";
import { useCallback, useMemo, type ReactNode } from "react";
import { patiently } from "./patience.ts";

export function clerkAuth(convex: ConvexReactClient, publishableKey: string) {
  return function ClerkAuth({ children }: { children: ReactNode }) {
    return (
      <ClerkProvider publishableKey={publishableKey} afterSignOutUrl={location.href}>
        <ConvexProviderWithClerk client={convex} useAuth={usePatientAuth}>
          <ClerkSession>{children}</ClerkSession>
        </ConvexProviderWithClerk>
      </ClerkProvider>
    );
  };
}

// When Clerk cannot be reached, Clerk's useAuth throws or has no token, which would sign the page out. So this retries.
function usePatientAuth() {
  const auth = useAuth();
  const { getToken } = auth;
  const getTokenPatiently = useCallback<typeof getToken>(
    (options) =>
      patiently(async () => {
        const token = await getToken(options);
        if (token === null && !navigator.onLine) throw new Error("There is no network to ask Clerk over.");
        return token;
      }, isDefinite).catch(() => null),
    [getToken],
  );
  return { ...auth, getToken: getTokenPatiently };
}

// Returns whether Clerk refused the token. All other errors, such as a lost connection or an overloaded Clerk, are
// temporary.
function isDefinite(error: unknown): boolean {
  const status = (error as { status?: unknown } | null)?.status;
  return typeof status === "number" && status >= 400 && status < 500 && status !== 429;
}

// The session for the page. An app that has the two providers already needs only this.
export function ClerkSession({ children }: { children: ReactNode }) {
  const { isSignedIn = false, getToken } = usePatientAuth();
  const { signOut } = useClerk();
  const session = useMemo<Session>(() => {
    const leave = () => signOut({ redirectUrl: location.href });
    return {
      isSignedIn,
      signIn: <SignIn routing="hash" fallbackRedirectUrl={location.href} />,
      getToken,
      signOut: leave,
      switchAccount: leave, // after signing out, Clerk shows its form
    };
  }, [isSignedIn, getToken, signOut]);
  return <SessionProvider value={session}>{children}</SessionProvider>;
}
