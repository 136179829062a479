// What the page needs of whoever signs people in, Clerk or the local one.
import { createContext, useContext, type ReactNode } from "react";

export type Session = {
  isSignedIn: boolean;
  signIn: ReactNode; // a link or a form
  // For those who check it themselves. null: nobody is signed in. It may wait for Clerk for as long as that takes.
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
