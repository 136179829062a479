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

const MESSAGES = {
  not_signed_in: "You are not signed in. Sign in and try again.",
  not_synced: "Your account has not arrived here yet. Wait a moment; if that does not help, ask an administrator.",
  deleted: "Your account was deleted. Sign in with another one.",
  not_active: "Your account is banned or locked. Ask an administrator.",
  not_admin: "This is for administrators only. Ask one of them for the admin role.",
};

export type AccessReason = keyof typeof MESSAGES;

// The data of the ConvexError that a caller gets. It says nothing of a person.
export type AccessDenied = { code: "access_denied"; reason: AccessReason; message: string };

export function accessMessage(reason: AccessReason): string {
  return MESSAGES[reason];
}

// The caller's Clerk id. A pending session has yet to pass what Clerk asks for: nobody is signed in with it.
export async function requireSignedIn(ctx: QueryCtx): Promise<string> {
  const identity = await ctx.auth.getUserIdentity();
  if (identity === null || identity.sts === "pending") throw accessDenied("not_signed_in");
  return identity.subject;
}

// The caller's own row. Nothing else is read, so that nothing else makes a query check again.
export async function requireAdmin(ctx: QueryCtx): Promise<Doc<"users">> {
  const clerkId = await requireSignedIn(ctx);
  const user = await readUser(ctx, clerkId);
  const reason = await whyNotAdmin(ctx, clerkId, user);
  if (user === null || reason !== null) throw accessDenied(reason ?? "not_synced");
  return user;
}

// null: an admin.
export async function whyNotAdmin(
  ctx: QueryCtx,
  clerkId: string,
  user: Doc<"users"> | null,
): Promise<AccessReason | null> {
  if (user === null) {
    const version = await readVersion(ctx, clerkId);
    return version?.deletedAt === undefined ? "not_synced" : "deleted";
  }
  if (isAdmin(user)) return null;
  return user.status === "active" ? "not_admin" : "not_active";
}

function accessDenied(reason: AccessReason) {
  const data: AccessDenied = { code: "access_denied", reason, message: MESSAGES[reason] };
  return new ConvexError(data);
}
