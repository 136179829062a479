// The interface between the pages and sign-in. Whether somebody is signed in at Convex, Convex's own provider says.
import { createContext, useContext, type ReactNode } from "react";

export type GetToken = (options?: { skipCache?: boolean }) => Promise<string | null>;

// Each part is optional. A part that is missing is not offered.
export type Session = {
  // Returns the session token for the service, or null if nobody is signed in. Without it the pages only read.
  getToken?: GetToken;
  // Whether Clerk has somebody signed in, so that a token that Convex does not accept can be told from no token.
  isSignedIn?: boolean;
  signIn?: ReactNode; // a link or a form
  signOut?: () => Promise<void>;
  switchAccount?: () => Promise<void>;
};

const SessionContext = createContext<Session>({});
export const SessionProvider = SessionContext.Provider;

export function useSession(): Session {
  return useContext(SessionContext);
}
