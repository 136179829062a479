import type { ReactNode } from "react";
import { Admin, type AdminProps } from "./admin/Admin.tsx";
import { Audit } from "./audit/AuditPage.tsx";
import { Invitations } from "./invitations/InvitationsPage.tsx";
import { Users } from "./users/UsersPage.tsx";

export type PageProps = Omit<AdminProps, "page">;

// The users page, for admins. Everyone else reads why there is nothing to see.
export function UsersPage(props: PageProps): ReactNode {
  return (
    <Admin {...props} page="users">
      <Users />
    </Admin>
  );
}

// The audit log, for admins.
export function AuditPage(props: PageProps): ReactNode {
  return (
    <Admin {...props} page="audit">
      <Audit />
    </Admin>
  );
}

// The invitations to the app, for admins.
export function InvitationsPage(props: PageProps): ReactNode {
  return (
    <Admin {...props} page="invitations">
      <Invitations />
    </Admin>
  );
}
