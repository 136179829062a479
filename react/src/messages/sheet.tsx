// Words of the details of a user: the fields, the sessions and *Sync now*.
import type { ReactNode } from "react";
import type { AuditEntry } from "../functions.ts";

const SYNCED: Record<string, string> = {
  created: "The user was missing here, and has arrived from Clerk.",
  updated: "The user was changed to what Clerk has.",
  unchanged: "The user is here as Clerk has it.",
  stale: "Something newer than Clerk’s answer has arrived meanwhile. Nothing was changed.",
  tombstoned: "This user was deleted, and stays deleted. Nothing was changed.",
};

const WRITTEN_BY: Record<AuditEntry["source"], string> = {
  webhook: "by a webhook",
  backfill: "by a backfill",
  admin: "by an administrator’s action",
  user: "when the user asked for the row",
  manual: "by hand",
  schedule: "when a lock ended",
};

export const sheet = {
  user: "User",
  notShown: "This user cannot be shown",
  notLoaded: "The user could not be loaded",
  loading: "Loading",
  noUser: "There is no such user",
  noUserText: "No user has this id. The user may have been deleted, or may not have arrived from Clerk yet.",
  deleted: (name: ReactNode): ReactNode => <>{name} was deleted</>,
  deletedText: "That happened while you were looking.",
  id: "id",

  previous: "Previous user",
  next: "Next user",
  withKey: (label: string, key: string) => `${label} (${key})`,
  position: (at: string, count: string) => `${at} of ${count}`,

  email: "Email",
  phone: "Phone",
  username: "Username",
  firstName: "First name",
  lastName: "Last name",
  role: "Role",
  lockedUntil: "Locked until",
  joined: "Joined",
  lastSignIn: "Last sign-in",
  clerkId: "Clerk id",
  externalId: "External id",
  convexId: "Convex id",
  none: "None",
  never: "Never",
  unknown: "Unknown",
  unverified: "Unverified",
  metadata: "Public metadata",

  retryIn: (seconds: number, text: string) => `Retry in ${text} s`,
  asking: "Asking Clerk…",

  addresses: "Addresses",
  showAddresses: "Show addresses",
  noAddress: "Clerk has no address of this user",
  addressCount: (count: number, text: string) => (count === 1 ? "1 address" : `${text} addresses`),
  primary: "Primary",
  verified: "Verified",

  sessions: "Sessions",
  showSessions: "Show sessions",
  refresh: "Refresh",
  noSession: "No active session",
  sessionCount: (count: number, text: string) => (count === 1 ? "1 session" : `${text} sessions`),
  sessionsListed: (sessions: string, hasMore: boolean) => `${sessions}${hasMore ? ", and more" : ""}.`,
  sessionsRevoked: (sessions: string, hasMore: boolean) =>
    `${sessions} revoked.${hasMore ? " There are more: show the sessions again." : ""}`,
  active: (time: ReactNode): ReactNode => <>Active {time}</>,
  impersonated: "Impersonated",
  device: (browser: string, kind: string) => `${browser} on ${kind}`,
  unknownDevice: "Unknown device",
  revoke: "Revoke",
  revoking: "Revoking…",
  revokeAll: "Revoke all",
  revokeDevice: (device: string) => `Revoke ${device}`,
  revokeSession: "Revoke session",
  revokeSessions: "Revoke all sessions",
  askRevokeSession: (name: ReactNode): ReactNode => <>Revoke session of {name}?</>,
  askRevokeSessions: (name: ReactNode): ReactNode => <>Revoke all sessions of {name}?</>,
  revokeSessionText: (device: string) =>
    `Signs the user out on ${device}, within a minute. The account stays, and can sign in again.`,
  revokeSessionsText: "Signs the user out everywhere, within a minute. The account stays, and can sign in again.",
  ownSessions: "These sessions are yours: you may have to sign in again.",

  sync: "Sync",
  syncText: "A change is applied here only if Clerk made it later, or has read the user later, than these times.",
  updated: "Changed at Clerk",
  observed: "Read from Clerk",
  written: "Last written",
  writtenBy: (source: AuditEntry["source"]) => WRITTEN_BY[source],
  refused: "The last change was refused, so what is shown is not up to date",
  refusedNew: "The user could not be written, so there is nothing to show",
  refusedTimes: (times: string, first: ReactNode, last: ReactNode): ReactNode => (
    <>
      {times}, first {first}, last {last}
    </>
  ),
  refusedOnce: (last: ReactNode): ReactNode => <>once, {last}</>,
  refusedText: "Remove the cause. Then Sync now, the next change at Clerk or the nightly run writes the user.",

  history: "History",
  historyFailed: "The history could not be loaded",
  noHistory: "Nothing is on record",
  by: (name: ReactNode): ReactNode => <>by {name}</>,

  syncNow: "Sync now",
  syncIn: (seconds: string) => `Sync in ${seconds} s`,
  syncTitle: "Asks Clerk for this user, and writes here what Clerk has",
  synced: (outcome: string) => SYNCED[outcome] ?? `The answer is ${outcome}.`,
  syncedDeleted: "Clerk has no such user. What was here has been removed.",
};
