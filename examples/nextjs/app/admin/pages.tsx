"use client";
import { useAuth } from "@clerk/react";
import { AuditPage, UsersPage, type Session } from "clerk-convex-react";
import { useMemo } from "react";

const API = process.env.NEXT_PUBLIC_CLERK_CONVEX_API; // the URL of the service's user_routes()
const KEY = process.env.NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY;
const PATHS = { users: "/admin/users", audit: "/admin/audit" };
const NOBODY: Session = {};

function useClerkSession(): Session {
  const { getToken, isSignedIn } = useAuth();
  return useMemo(() => ({ getToken, isSignedIn }), [getToken, isSignedIn]);
}

const useSession = KEY === undefined ? () => NOBODY : useClerkSession;

export function Users() {
  return <UsersPage api={API} session={useSession()} paths={PATHS} frame={false} />;
}

export function Audit() {
  return <AuditPage api={API} session={useSession()} paths={PATHS} frame={false} />;
}
