// Reads users for the users page and for tools. Lists leave out the metadata, the stamp and the columns for sorting
// and search.
import { paginationResultValidator, type PaginationOptions } from "convex/server";
import { v, type Infer } from "convex/values";
import type { Doc } from "../../_generated/dataModel";
import type { QueryCtx } from "../../_generated/server";
import { isAdmin, requireSignedIn } from "../access";
import { isWhole } from "../adopt/whole";
import { USERS, type User } from "../module";
import { versionOf } from "../order/rules";
import { readState, readVersion } from "../state";
import { clerkTables, type Status } from "../tables";
import { passes, readFiltered, within, type UserFilter } from "./filters";
import { readMergedPage } from "./pages";
import { ALL, BEST, searchUsers } from "./search";
import { keyOf, readSorted, type Span } from "./sorted";

export const userSummary = clerkTables[USERS].validator
  .omit("publicMetadata", "sortName", "sortEmail", "searchText", "clerkStamp")
  .extend({ _id: v.id(USERS), _creationTime: v.number() });

export const userDetails = userSummary.extend({
  publicMetadata: v.optional(v.string()), // JSON
  updatedAt: v.nullable(v.number()), // null: no change has been applied to this row yet
});

// The details that the page shows of one user. An unchanged user has a new observedAt whenever Clerk sends an event.
export const userSheet = userDetails.extend({
  observedAt: v.nullable(v.number()), // when Clerk read the user for the last change; null: likewise
});

export const usersPage = paginationResultValidator(userSummary);

export const userSort = v.object({
  by: v.union(v.literal("createdAt"), v.literal("lastSignInAt"), v.literal("email"), v.literal("name")),
  order: v.union(v.literal("asc"), v.literal("desc")),
});

export const me = v.union(
  v.object({ state: v.literal("synced"), user: userDetails, isAdmin: v.boolean() }),
  v.object({ state: v.literal("not_synced"), clerkId: v.string() }), // signed in, but the row has not arrived yet
  v.object({ state: v.literal("deleted"), clerkId: v.string() }),
);

export type UserSummary = Infer<typeof userSummary>;
export type UserDetails = Infer<typeof userDetails>;
export type UserSheet = Infer<typeof userSheet>;
export type UserSort = Infer<typeof userSort>;

// For each sort, the column.
const SORTED = { createdAt: "createdAt", lastSignInAt: "lastSignInAt", email: "sortEmail", name: "sortName" } as const;

export type UsersRequest = {
  paginationOpts: PaginationOptions;
  status?: Status;
  sort?: UserSort;
  search?: string; // if not blank, the page has the best matches, and `sort` is not used
  filter?: UserFilter;
};

// Returns a page of users.
export async function listUsers(
  ctx: QueryCtx,
  { paginationOpts, status, sort, search = "", filter = {} }: UsersRequest,
) {
  if (search.trim() !== "") {
    const accepts = (user: User) => isWhole(user) && passes(user, filter);
    const most = paginationOpts.numItems >= ALL ? ALL : BEST;
    const found = paginationOpts.cursor === null ? (await searchUsers(ctx, search, status, accepts, most)).users : [];
    return { page: found.map(summary), isDone: true, continueCursor: "" };
  }
  const { by, order } = sort ?? { by: "createdAt", order: "desc" };
  const { sorted, isScan } = within(SORTED[by], order, filter);
  const { field } = sorted;
  const read = async (span: Span, most: number) => {
    if (isScan) return await readFiltered(ctx, sorted, status, filter, span, most);
    const page = await readSorted(ctx, sorted, status, span, most);
    return { page, reached: page.length < most ? null : keyOf(page[most - 1]!, field) };
  };
  const result = await readMergedPage({ read }, paginationOpts);
  return { ...result, page: result.page.filter(isWhole).map(summary) };
}

// Returns the details of one user, or null.
export async function getUser(ctx: QueryCtx, clerkId: string): Promise<UserSheet | null> {
  const { row, version } = await readState(ctx, clerkId);
  if (row === null || !isWhole(row)) return null;
  return { ...details(row, version), observedAt: versionOf({ row, version })?.observedAt ?? null };
}

// Returns the caller's own user, for every caller who is signed in.
export async function currentUser(ctx: QueryCtx): Promise<Infer<typeof me>> {
  const clerkId = await requireSignedIn(ctx);
  const { row, version } = await readState(ctx, clerkId);
  if (row !== null && isWhole(row)) return { state: "synced", user: details(row, version), isAdmin: isAdmin(row) };
  return { state: version?.deletedAt === undefined ? "not_synced" : "deleted", clerkId };
}

// Returns a page of rows, all columns and the stamps, sorted by the time when they were created.
export async function exportUsers(ctx: QueryCtx, paginationOpts: PaginationOptions, order: "asc" | "desc") {
  const users = await ctx.db.query(USERS).order(order).paginate(paginationOpts);
  const page = users.page.map(async (user) => {
    const isLinked = typeof user.clerkId === "string"; // a row of a loose table may have no Clerk id
    const version = versionOf({ row: user, version: isLinked ? await readVersion(ctx, user.clerkId) : null });
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- names the column to omit
    const { clerkStamp, ...rest } = user;
    return { ...rest, updatedAt: version?.updatedAt ?? null, observedAt: version?.observedAt ?? null };
  });
  return { ...users, page: await Promise.all(page) };
}

function summary(row: User): UserSummary {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- names the columns to omit
  const { publicMetadata, sortName, sortEmail, searchText, clerkStamp, ...rest } = row;
  return rest;
}

function details(row: User, version: Doc<"clerkVersions"> | null): UserDetails {
  const updatedAt = versionOf({ row, version })?.updatedAt ?? null;
  return { ...summary(row), publicMetadata: row.publicMetadata, updatedAt };
}
