"use client";
import { useAuth } from "@clerk/react";
import { AuditPage, InvitationsPage, UsersPage, type PageProps } from "clerk-convex-react";
import { useMemo } from "react";

const API = process.env.CLERK_CONVEX_API || undefined; // from next.config.ts
const PATHS = { users: "/admin/users", audit: "/admin/audit", invitations: "/admin/invitations" };

function useProps(): PageProps {
  const { getToken, isSignedIn } = useAuth();
  const session = useMemo(() => ({ getToken, isSignedIn }), [getToken, isSignedIn]);
  return { api: API, session, paths: PATHS, frame: false };
}

export function Users() {
  return <UsersPage {...useProps()} />;
}

export function Audit() {
  return <AuditPage {...useProps()} />;
}

export function Invitations() {
  return <InvitationsPage {...useProps()} />;
}
