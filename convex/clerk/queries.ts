// The users page reads these: lists without metadata and without what only sorting and search need.
import { paginationResultValidator, type PaginationOptions } from "convex/server";
import { v, type Infer } from "convex/values";
import type { Doc } from "../_generated/dataModel";
import type { QueryCtx } from "../_generated/server";
import { isAdmin, requireSignedIn } from "./access";
import { readPage } from "./pages";
import { searchUsers } from "./search";
import { readState } from "./state";
import { clerkTables, type Status } from "./tables";

export const userSummary = clerkTables.users.validator
  .omit("publicMetadata", "sortName", "sortEmail", "searchText")
  .extend({ _id: v.id("users"), _creationTime: v.number() });

export const userDetails = userSummary.extend({
  publicMetadata: v.optional(v.string()), // JSON
  updatedAt: v.nullable(v.number()), // null: a row that no change has come to yet
});

export const usersPage = paginationResultValidator(userSummary);

export const userSort = v.object({
  by: v.union(v.literal("createdAt"), v.literal("lastSignInAt"), v.literal("email"), v.literal("name")),
  order: v.union(v.literal("asc"), v.literal("desc")),
});

export const me = v.union(
  v.object({ state: v.literal("synced"), user: userDetails, isAdmin: v.boolean() }),
  v.object({ state: v.literal("not_synced"), clerkId: v.string() }), // signed in, and the row is on its way
  v.object({ state: v.literal("deleted"), clerkId: v.string() }),
);

export type UserSummary = Infer<typeof userSummary>;
export type UserDetails = Infer<typeof userDetails>;
export type UserSort = Infer<typeof userSort>;

// For each sort: the index of all users, and that of one status. Who has no value comes first ascending and
// last descending.
const INDEXES = {
  createdAt: ["by_created_at", "by_status_and_created_at"],
  lastSignInAt: ["by_last_sign_in_at", "by_status_and_last_sign_in_at"],
  email: ["by_sort_email", "by_status_and_sort_email"],
  name: ["by_sort_name", "by_status_and_sort_name"],
} as const;

// The column that these are in the order of.
const SORTED = { createdAt: "createdAt", lastSignInAt: "lastSignInAt", email: "sortEmail", name: "sortName" } as const;

export type UsersRequest = {
  paginationOpts: PaginationOptions;
  status?: Status;
  sort?: UserSort;
  search?: string; // not blank: the best matches in one page, however they are sorted
};

export async function listUsers(ctx: QueryCtx, { paginationOpts, status, sort, search = "" }: UsersRequest) {
  if (search.trim() !== "") {
    const found = paginationOpts.cursor === null ? await searchUsers(ctx, search, status) : [];
    return { page: found.map(summary), isDone: true, continueCursor: "" };
  }
  const { by, order } = sort ?? { by: "createdAt", order: "desc" };
  const [ofAll, ofStatus] = INDEXES[by];
  const users = ctx.db.query("users");
  const sorted =
    status === undefined ? users.withIndex(ofAll) : users.withIndex(ofStatus, (q) => q.eq("status", status));
  const field = SORTED[by];
  const keyOf = (user: Doc<"users">) => [user[field], user._creationTime, user._id];
  const result = await readPage({ rows: sorted.order(order), order, keyOf }, paginationOpts);
  return { ...result, page: result.page.map(summary) };
}

export async function getUser(ctx: QueryCtx, clerkId: string): Promise<UserDetails | null> {
  const { row, version } = await readState(ctx, clerkId);
  return row && details(row, version);
}

// For anyone who is signed in.
export async function currentUser(ctx: QueryCtx): Promise<Infer<typeof me>> {
  const clerkId = await requireSignedIn(ctx);
  const { row, version } = await readState(ctx, clerkId);
  if (row !== null) return { state: "synced", user: details(row, version), isAdmin: isAdmin(row) };
  return { state: version?.deletedAt === undefined ? "not_synced" : "deleted", clerkId };
}

function summary(row: Doc<"users">): UserSummary {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- to leave them out
  const { publicMetadata, sortName, sortEmail, searchText, ...rest } = row;
  return rest;
}

function details(row: Doc<"users">, version: Doc<"clerkVersions"> | null): UserDetails {
  return { ...summary(row), publicMetadata: row.publicMetadata, updatedAt: version?.updatedAt ?? null };
}
