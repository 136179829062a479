// Words of the users page: the table's head, the search, the order, and what is shown instead of rows.
import type { UserStatus } from "../functions.ts";

// The name of a status within a sentence.
const NAMES: Record<UserStatus, string> = {
  active: "active",
  banned: "banned",
  deprovisioned: "deprovisioned",
  locked: "locked",
};

export const users = {
  title: "Users",
  name: "Name",
  email: "Email",
  status: "Status",
  role: "Role",
  joined: "Joined",
  lastSignIn: "Last sign-in",
  selection: "Selection",
  actions: "Actions",
  bestFirst: "Matches come best first",
  nobodyYet: "Nobody yet",
  nobodyYetText:
    "New users appear here within a moment, once Clerk’s webhook points at the service. Those who were there before come with a backfill:",
  noMatch: "No match",
  noUsers: (status: UserStatus | undefined) => `No ${status === undefined ? "" : `${NAMES[status]} `}users`,
  // The search text stands between the two parts.
  noUserLike: (status: UserStatus | undefined) =>
    [`No ${status === undefined ? "" : `${NAMES[status]} `}user has a name, email, phone number or id like “`, "”."] as const,
  noUserPasses: "No user passes all filters that are on.",
  clearFilters: "Clear filters",
  search: "Search users",
  searchHint: "Search name, email, phone or id",
  sort: "Sort",
  bestMatch: "Best match first",
  newest: "Newest first",
  oldest: "Oldest first",
  latestSignIn: "Last sign-in, latest first",
  oldestSignIn: "Last sign-in, longest ago first",
  nameUp: "Name, A to Z",
  nameDown: "Name, Z to A",
  emailUp: "Email, A to Z",
  emailDown: "Email, Z to A",
};
