// Authorizes callers: the rule that makes a user an admin, and the error that a refused caller gets.
import { ConvexError } from "convex/values";
import type { QueryCtx } from "../_generated/server";
import { USERS, type User } from "./module";
import { readUser, readVersion } from "./state";
import { PADDING } from "./users/text";

// Returns whether a user is an admin. Queries and user management use this rule. It reads the synced row and no claim
// of a token, so a demotion or a ban takes effect immediately. If you change it, change `possibleAdmins` as well.
export function isAdmin(user: User): boolean {
  return user.role === "admin" && user.status === "active";
}

// Returns every user for whom `isAdmin` may be true, by the search index: in a mutation too, it finds what is committed.
// An index of roles would be written with the row of every user.
export function possibleAdmins(ctx: QueryCtx) {
  return ctx.db
    .query(USERS)
    .withSearchIndex("by_search_text", (q) => q.search("searchText", PADDING).eq("role", "admin").eq("status", "active"));
}

export const MESSAGES = {
  not_signed_in: "You are not signed in. Sign in and try again.",
  not_synced: "Your account has not arrived here yet. Wait a moment; if that does not help, ask an administrator.",
  deleted: "Your account was deleted. Sign in with another one.",
  not_active: "Your account is banned or locked, or your company has removed it. Ask an administrator.",
  not_admin: "This is for administrators only. Ask an administrator for the admin role.",
};

export type AccessReason = keyof typeof MESSAGES;
type RowReason = Exclude<AccessReason, "not_signed_in">;

// The data of the ConvexError that a refused caller gets. It contains nothing about a person.
export type AccessDenied = { code: "access_denied"; reason: AccessReason; message: string };

// Returns the caller's Clerk id. Throws `not_signed_in`, also for a pending session: Clerk requires another step before
// it counts as signed in.
export async function requireSignedIn(ctx: QueryCtx): Promise<string> {
  const identity = await ctx.auth.getUserIdentity();
  if (identity === null || identity.sts === "pending") throw accessDenied("not_signed_in");
  // A custom claim named "subject" hides the token's own subject, and its value may come from the user.
  const isOwn = identity.tokenIdentifier === `${identity.issuer}|${identity.subject}`;
  if (!isOwn) throw accessDenied("not_signed_in");
  return identity.subject;
}

// Returns the caller's own row, or throws the reason why the caller is no admin. For an admin it reads only that row,
// so a subscribed query runs again only if the row changes.
export async function requireAdmin(ctx: QueryCtx): Promise<User> {
  const user = await findAdmin(ctx, await requireSignedIn(ctx));
  if (typeof user === "string") throw accessDenied(user);
  return user;
}

// Returns the user's row, or the reason why the user is no admin.
export async function findAdmin(ctx: QueryCtx, clerkId: string): Promise<User | RowReason> {
  const user = await readUser(ctx, clerkId);
  if (user === null) {
    const version = await readVersion(ctx, clerkId);
    return version?.deletedAt === undefined ? "not_synced" : "deleted";
  }
  if (isAdmin(user)) return user;
  return user.status === "active" ? "not_admin" : "not_active";
}

function accessDenied(reason: AccessReason) {
  const data: AccessDenied = { code: "access_denied", reason, message: MESSAGES[reason] };
  return new ConvexError(data);
}
