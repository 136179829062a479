// Words of the audit log.
import type { ReactNode } from "react";
import type { AuditEntry, AuditOutcome } from "../functions.ts";

const outcomes: Record<AuditOutcome, string> = {
  created: "Created",
  updated: "Updated",
  deleted: "Deleted",
  reset: "Reset",
  merged: "Merged",
  started: "Started",
  done: "Done",
  denied: "Denied",
  failed: "Failed",
  unknown: "Outcome unknown",
};

const sources: Record<AuditEntry["source"], string> = {
  webhook: "Webhook",
  backfill: "Backfill",
  admin: "Administrator",
  user: "The user",
  manual: "By hand",
  schedule: "On time", // a lock ended by itself
};

// The actions of admins. One that is missing here is shown by its code.
const actions: Record<string, string> = {
  create: "Create user",
  update: "Edit",
  update_metadata: "Change role or metadata",
  ban: "Ban",
  unban: "Unban",
  lock: "Lock",
  unlock: "Unlock",
  delete: "Delete",
  sync: "Sync now",
  revoke_session: "Revoke session",
  revoke_sessions: "Revoke all sessions",
  create_invitation: "Invite",
  revoke_invitation: "Revoke invitation",
  list: "List users",
  get: "Look at user",
  list_sessions: "Look at sessions",
  list_invitations: "List invitations",
};

// The columns of a user, as they stand in "email address changed". A team's own column is shown by its name.
const fields: Record<string, string> = {
  status: "status",
  createdAt: "time of sign-up",
  externalId: "external id",
  firstName: "first name",
  lastName: "last name",
  username: "username",
  email: "email address",
  emailVerified: "verification of the email address",
  phone: "phone number",
  imageUrl: "picture",
  role: "role",
  publicMetadata: "public metadata",
  lastSignInAt: "last sign-in",
  lockedUntil: "end of the lock",
  clerkId: "Clerk id",
};

// The reasons of Convex's denials and of Clerk's refusals.
const reasons: Record<string, string> = {
  self: "nobody may do this to their own account",
  last_admin: "the last active administrator",
  not_synced: "the caller’s account had not arrived",
  deleted: "the caller’s account was deleted",
  not_active: "the caller was banned, deprovisioned or locked",
  not_admin: "the caller was no administrator",
  resource_not_found: "Clerk has no such user",
  form_identifier_exists: "another user has this address, name or id",
  unsupported_subscription_plan_features: "the plan at Clerk does not include it",
  user_quota_exceeded: "Clerk allows no more users",
  deprovisioned: "the company’s directory has removed this user",
  user_managed_by_scim: "a company’s directory manages this user",
  attribute_managed_by_scim: "a company’s directory manages what was to be changed",
  duplicate_record: "the address has an invitation already",
  invitation_already_revoked: "the invitation was revoked before",
  too_late: "the request took too long",
  resource_locked: "Clerk was changing the same user",
  clerk_unavailable: "Clerk had trouble, or could not be reached",
  clerk_too_slow: "Clerk did not answer in time",
  clerk_too_busy: "too many calls to Clerk",
  clerk_misconfigured: "Clerk refused the service’s key or address",
};

export const audit = {
  title: "Audit log",
  failed: "The audit log could not be loaded",
  outcomes,
  sources,
  actions,
  fields,
  reasons,
  when: "When",
  outcome: "Outcome",
  user: "User",
  what: "What",
  source: "Source",
  by: "By",
  details: "Details",
  byActor: "by", // before the admin's name, where the columns have no heads
  changed: (fields: string) => `${fields} changed`,
  newUser: "new user",
  because: (what: string, why: string) => `${what} · ${why}`,
  status: (status: number) => ` (${status})`,
  // Here and below, `count` decides between one and many, and `number` is how the locale writes it.
  users: (count: number, number: string) => (count === 1 ? "1 user" : `${number} users`),
  entries: (count: number, number: string) => (count === 1 ? "1 entry" : `${number} entries, newest first`),
  // Read out when another filter is chosen.
  found: (count: number, number: string, isMore: boolean) =>
    isMore ? `${number} entries, and there may be more` : count === 1 ? "1 entry" : `${number} entries`,

  // The filters
  filterUser: "User",
  filterActor: "Administrator",
  anyone: "Everyone. Search or paste an id",
  anyAdmin: "Every administrator",
  everyAction: "Every action",
  action: "Action",
  everyOutcome: "Every outcome",
  from: "From",
  until: "Until",
  noPerson: "No user matches",
  searching: "Searching…",
  searchFailed: "The search failed",
  byId: (id: ReactNode) => <>The id {id}</>,
  showUser: "Show user",
  filters: "Filters",
  clear: "Clear filters",
  remove: "Remove this filter",
  chipUser: (name: ReactNode) => <>About {name}</>,
  chipActor: (name: ReactNode) => <>By {name}</>,
  chipFrom: (day: string) => `From ${day}`,
  chipUntil: (day: string) => `Until ${day}`,

  // No entry
  noMatch: "No match",
  noMatchText: "There is no entry with these filters.",
  nothing: "Nothing has happened yet",
  nothingText: "Every change that Clerk’s webhook or a backfill brings, and all that administrators do, is listed here.",
  looking: "Looking further back…",
  notYet: "Nothing found so far",
  notYetText: "None of the latest entries has these filters. There are older ones.",
  lookFurther: "Look further back",

  // The details of an entry
  detailsOf: (what: string, name: string) => `Details: ${what}, ${name}`,
  time: "Time",
  started: "Started",
  ended: "Ended",
  session: "Session",
  invitation: "Invitation",
  reason: "Reason",
  answered: "Answer",
  request: "Request",
  event: "Event",
  entry: "Entry",
  noOutcome: "Nobody recorded the end. Clerk may have done it: look at the user.",
};
