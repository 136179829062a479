// Names the Convex functions that the page reads, and their types; no other file names them. The types are written out,
// because those that Convex generates belong to the folder of each app. tests/react/functions.test.ts compares them.
import {
  anyApi,
  type FunctionReference,
  type PaginationOptions,
  type PaginationResult,
} from "convex/server";
import { createContext, useContext } from "react";

export type UserStatus = "active" | "banned" | "deprovisioned" | "locked";

// A row of the list. A team's own columns come with it; see `columns` of the page.
export type UserSummary = {
  _id: string;
  _creationTime: number;
  clerkId: string;
  status: UserStatus;
  createdAt: number; // Unix milliseconds, like all times
  externalId?: string;
  firstName?: string;
  lastName?: string;
  username?: string;
  email?: string;
  emailVerified?: boolean;
  phone?: string;
  imageUrl?: string;
  role?: string;
  lastSignInAt?: number;
  lockedUntil?: number;
};

export type UserDetails = UserSummary & {
  publicMetadata?: string; // JSON
  updatedAt: number | null;
};

export type UserSheet = UserDetails & {
  observedAt?: number | null; // when Clerk read the user; functions of an earlier version do not say it
};

export type UserSort = { by: "createdAt" | "lastSignInAt" | "email" | "name"; order: "asc" | "desc" };

type Range = { from?: number; before?: number };
export type UserFilter = {
  role?: string; // "": users without a role
  verified?: boolean;
  createdAt?: Range;
  lastSignInAt?: Range | null; // null: never
};
export type UsersArgs = { status?: UserStatus; sort?: UserSort; search?: string; filter?: UserFilter };
export type Segment = { status: UserStatus; count: number; isMore: boolean };

export type Me = { state: "synced"; user: UserDetails; isAdmin: boolean };

export type Stats = { total: number; days: { day: string; signUps: number }[]; rebuilding: boolean } & Record<
  UserStatus,
  number
>;

export type AuditOutcome =
  "created" | "updated" | "deleted" | "reset" | "merged" | "started" | "done" | "denied" | "failed" | "unknown";

export type AuditEntry = {
  _id: string;
  _creationTime: number;
  clerkId?: string;
  name: string | null;
  outcome: AuditOutcome;
  source: "webhook" | "backfill" | "admin" | "user" | "manual" | "schedule";
  actor?: string;
  actorName: string | null;
  fields: string[];
  count?: number;
  eventId?: string;
  // Of an admin's action, which is one entry with the change that it has made.
  action?: string;
  change?: "created" | "updated" | "deleted";
  object?: string; // the id of the session or of the invitation
  requestId?: string;
  reason?: string;
  status?: number;
  endedAt?: number;
};

export type AuditFilter = {
  clerkId?: string;
  actor?: string;
  action?: string;
  outcome?: AuditOutcome;
  from?: number;
  before?: number;
};

export type Refusal = {
  clerkId: string;
  source: AuditEntry["source"];
  reason: string;
  count: number;
  firstAt: number;
  lastAt: number;
};

export type AccessReason = "not_signed_in" | "not_synced" | "deleted" | "not_active" | "not_admin";
export type AccessDenied = { code: "access_denied"; reason: AccessReason; message: string };

type Query<Args extends Record<string, any>, Returns> = FunctionReference<"query", "public", Args, Returns>;
type Paged<Args> = Args & { paginationOpts: PaginationOptions };

export type Functions = {
  currentUser: Query<Record<string, never>, Me | { state: "not_synced" | "deleted"; clerkId: string }>;
  getUsers: Query<Paged<UsersArgs>, PaginationResult<UserSummary>>;
  segments: Query<{ search?: string; filter?: UserFilter }, Segment[]>;
  getUser: Query<{ clerkId: string }, UserSheet | null>;
  stats: Query<{ today?: string }, Stats>;
  auditLog: Query<Paged<AuditFilter>, PaginationResult<AuditEntry>>;
  refusals: Query<{ clerkId?: string }, { count: number; isMore: boolean; latest: Refusal[] }>;
};

const NAMES = ["currentUser", "getUsers", "segments", "getUser", "stats", "auditLog", "refusals"] as const satisfies (keyof Functions)[];

// Returns the functions of a module. `module` is its path in convex/, as in CONVEX_USERS_MODULE. anyApi creates a new
// reference at each access, but hooks need stable ones, so they are created once.
export function functionsOf(module: string): Functions {
  const functions = module.split("/").reduce<any>((found, name) => found[name], anyApi) as Functions;
  return Object.fromEntries(NAMES.map((name) => [name, functions[name]])) as Functions;
}

const FunctionsContext = createContext(functionsOf("users"));
export const FunctionsProvider = FunctionsContext.Provider;

export function useFunctions(): Functions {
  return useContext(FunctionsContext);
}
