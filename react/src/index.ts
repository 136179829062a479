"use client";
export { Gate } from "./access/Gate.tsx";
export { useEnsureUser } from "./access/useEnsureUser.ts";
export { Admin, type AdminProps } from "./admin/Admin.tsx";
export type { Column } from "./admin/options.ts";
export { Shell, type ShellProps } from "./admin/Shell.tsx";
export { Audit } from "./audit/AuditPage.tsx";
export { SessionProvider, useSession, type GetToken, type Session } from "./auth/session.ts";
export { Frame } from "./frame/Frame.tsx";
export { PageSkeleton } from "./frame/PageSkeleton.tsx";
export {
  functionsOf,
  FunctionsProvider,
  type Functions,
  type Me,
  type UserDetails,
  type UserStatus,
  type UserSummary,
} from "./functions.ts";
export { Invitations } from "./invitations/InvitationsPage.tsx";
export { ENGLISH, type Messages, type OwnMessages } from "./messages/messages.ts";
export { AuditPage, InvitationsPage, UsersPage, type PageProps } from "./pages.tsx";
export { RefusalsNotice } from "./refusals/RefusalsNotice.tsx";
export { HistoryRouter, RouterProvider, type LinkProps, type Router } from "./router/router.tsx";
export { Failure } from "./ui/Failure.tsx";
export { Live } from "./ui/Live.tsx";
export { Users } from "./users/UsersPage.tsx";
