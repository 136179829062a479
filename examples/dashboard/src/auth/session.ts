// What the page needs of whoever signs people in, Clerk or the local one.
import { createContext, useContext, type ReactNode } from "react";

export type Session = {
  isSignedIn: boolean;
  signIn: ReactNode; // a link or a form
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
