// The interface between the page and sign-in, which Clerk or the local Clerk implements.
import { createContext, useContext, type ReactNode } from "react";

export type Session = {
  isSignedIn: boolean;
  signIn: ReactNode; // a link or a form
  // Returns the session token, or null if nobody is signed in. It waits for Clerk without a limit.
  getToken: (options?: { skipCache?: boolean }) => Promise<string | null>;
  signOut: () => Promise<void>;
  switchAccount: () => Promise<void>;
};

const SessionContext = createContext<Session | null>(null);
export const SessionProvider = SessionContext.Provider;

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("useSession: there is no SessionProvider around this component.");
  return session;
}
