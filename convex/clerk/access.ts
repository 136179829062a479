// Who may read what only admins may: the one rule, and what a caller is told whom it refuses.
import { ConvexError } from "convex/values";
import type { Doc } from "../_generated/dataModel";
import type { QueryCtx } from "../_generated/server";
import { readUser, readVersion } from "./state";

// The rule, of queries and of user management alike. It looks at the synced row and not at a token's claims, so
// that a demotion or a ban takes effect at once. A team may replace it, and then the next function with it.
export function isAdmin(user: Doc<"users">): boolean {
  return user.role === "admin" && user.status === "active";
}

// Everyone for whom the rule may hold, by an index.
export function possibleAdmins(ctx: QueryCtx) {
  return ctx.db
    .query("users")
    .withIndex("by_role_and_status", (q) => q.eq("role", "admin").eq("status", "active"));
}

export const MESSAGES = {
  not_signed_in: "You are not signed in. Sign in and try again.",
  not_synced: "Your account has not arrived here yet. Wait a moment; if that does not help, ask an administrator.",
  deleted: "Your account was deleted. Sign in with another one.",
  not_active: "Your account is banned or locked, or your company has removed it. Ask an administrator.",
  not_admin: "This is for administrators only. Ask one of them for the admin role.",
};

export type AccessReason = keyof typeof MESSAGES;
type RowReason = Exclude<AccessReason, "not_signed_in">;

// The data of the ConvexError that a caller gets. It says nothing of a person.
export type AccessDenied = { code: "access_denied"; reason: AccessReason; message: string };

// The caller's Clerk id. A pending session has yet to pass what Clerk asks for: nobody is signed in with it.
export async function requireSignedIn(ctx: QueryCtx): Promise<string> {
  const identity = await ctx.auth.getUserIdentity();
  if (identity === null || identity.sts === "pending") throw accessDenied("not_signed_in");
  // A custom claim named "subject" hides the token's own, and users may have a say in it.
  const isOwn = identity.tokenIdentifier === `${identity.issuer}|${identity.subject}`;
  if (!isOwn) throw accessDenied("not_signed_in");
  return identity.subject;
}

// The caller's own row. Of an admin nothing else is read, so that nothing else makes a query check again.
export async function requireAdmin(ctx: QueryCtx): Promise<Doc<"users">> {
  const user = await findAdmin(ctx, await requireSignedIn(ctx));
  if (typeof user === "string") throw accessDenied(user);
  return user;
}

// The row, or why it is no admin's.
export async function findAdmin(ctx: QueryCtx, clerkId: string): Promise<Doc<"users"> | RowReason> {
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
