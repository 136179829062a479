// Registers every function. All mutations are internal, because anyone who knows the deployment's URL could call a
// public one; the service calls them with a deploy key. Public are the queries of the users page, and each authorizes
// its caller before it reads.
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { internalMutation, internalQuery, query } from "./_generated/server";
import { requireAdmin } from "./clerk/access";
import * as actions from "./clerk/admin/actions";
import * as adopt from "./clerk/adopt/rows";
import * as audit from "./clerk/audit/log";
import * as compare from "./clerk/backfill/compare";
import * as follow from "./clerk/backfill/follow";
import * as backfill from "./clerk/backfill/runs";
import * as duplicates from "./clerk/order/duplicates";
import * as sync from "./clerk/order/sync";
import * as tables from "./clerk/tables";
import { backfillProgress, backfillRun, change, exportedUsers, outcome, userData } from "./clerk/tables";
import * as persons from "./clerk/upkeep/person";
import * as ledger from "./clerk/upkeep/refusals";
import * as upkeep from "./clerk/upkeep/status";
import * as webhook from "./clerk/upkeep/webhook";
import * as filters from "./clerk/users/filters";
import * as queries from "./clerk/users/queries";
import * as rebuilds from "./clerk/users/rebuild";
import * as counts from "./clerk/users/stats";
import * as totals from "./clerk/users/totals";
import * as version from "./clerk/version";

// Returns the caller's own user, and whether the user is an admin. For everyone who is signed in.
export const currentUser = query({
  args: {},
  returns: queries.me,
  handler: (ctx) => queries.currentUser(ctx),
});

// Returns a page of users, the newest first unless `sort` says otherwise, or the best matches of a search. For admins.
export const getUsers = query({
  args: {
    paginationOpts: paginationOptsValidator,
    status: v.optional(tables.status),
    sort: v.optional(queries.userSort),
    search: v.optional(v.string()),
    filter: v.optional(filters.userFilter),
  },
  returns: queries.usersPage,
  handler: async (ctx, request) => {
    await requireAdmin(ctx);
    return await queries.listUsers(ctx, request);
  },
});

// Returns how many users of each status a search or a filter has, up to a hundred. For admins.
export const segments = query({
  args: { search: v.optional(v.string()), filter: v.optional(filters.userFilter) },
  returns: filters.usersSegments,
  handler: async (ctx, { search = "", filter = {} }) => {
    await requireAdmin(ctx);
    return await filters.readSegments(ctx, search, filter);
  },
});

// Returns the details of one user, or null. For admins.
export const getUser = query({
  args: { clerkId: v.string() },
  returns: v.nullable(queries.userSheet),
  handler: async (ctx, { clerkId }) => {
    await requireAdmin(ctx);
    return await queries.getUser(ctx, clerkId);
  },
});

// Returns the number of users by status, and the sign-ups on each of 30 days. `today` is the last of these days. The
// caller names it, because Convex does not run a query again when the day changes. For admins.
export const stats = query({
  args: { today: v.optional(v.string()) },
  returns: counts.usersStats,
  handler: async (ctx, { today }) => {
    await requireAdmin(ctx);
    return await counts.readStats(ctx, today);
  },
});

// Returns a page of the audit log, the newest entry first. It may be short, or empty, although more follow: a page of a
// filtered log looks at so many entries only. For admins.
export const auditLog = query({
  args: {
    paginationOpts: paginationOptsValidator,
    ...audit.auditFilter,
  },
  returns: audit.auditPage,
  handler: async (ctx, request) => {
    await requireAdmin(ctx);
    return await audit.readAudit(ctx, request);
  },
});

// Returns the latest of the changes that were refused and have not been made good, of one user or of all. For admins.
export const refusals = query({
  args: { clerkId: v.optional(v.string()) },
  returns: ledger.latestRefusals,
  handler: async (ctx, { clerkId }) => {
    await requireAdmin(ctx);
    return clerkId === undefined ? await ledger.readLatest(ctx) : await ledger.readOne(ctx, clerkId);
  },
});

// Applies changes in order, and returns the outcome of each. The webhook route, the backfill and user management call
// it.
export const syncUsers = internalMutation({
  args: { changes: v.array(change) },
  returns: v.array(outcome),
  handler: (ctx, { changes }) => sync.syncChanges(ctx, changes),
});

// Returns the outcomes that syncUsers would return, and writes nothing.
export const compareUsers = internalQuery({
  args: { changes: v.array(change) },
  returns: v.array(outcome),
  handler: (ctx, { changes }) => sync.compareChanges(ctx, changes),
});

// Returns how a page of Clerk's users and the rows of the same part of the table compare, or null if the part has too
// many rows. Without a range the part is the rows with a status that is none of ours. The nightly run calls it.
export const compareRange = internalQuery({
  args: { changes: v.array(change), range: v.nullable(compare.createdRange) },
  returns: v.nullable(compare.compared),
  handler: (ctx, { changes, range }) => compare.compareRange(ctx, changes, range),
});

// Returns a page of rows, all columns and the stamps, for tools, sorted by the time when the rows were created.
export const exportUsers = internalQuery({
  args: { paginationOpts: paginationOptsValidator, order: v.optional(v.union(v.literal("asc"), v.literal("desc"))) },
  returns: exportedUsers,
  handler: (ctx, { paginationOpts, order = "asc" }) => queries.exportUsers(ctx, paginationOpts, order),
});

// Applies one upsert by hand: npx convex run --prod users:syncUser '{"clerkId": "user_…", "userData": {…}}'
export const syncUser = internalMutation({
  args: { clerkId: v.string(), userData },
  returns: outcome,
  handler: (ctx, { clerkId, userData }) => sync.syncByHand(ctx, clerkId, userData),
});

// Deletes a user by hand: npx convex run --prod users:deleteUser '{"clerkId": "user_…"}'
// This is final: later changes do not bring the user back. Only resetUser does.
export const deleteUser = internalMutation({
  args: { clerkId: v.string() },
  returns: outcome,
  handler: (ctx, { clerkId }) => sync.deleteByHand(ctx, clerkId),
});

// Undoes a mistake: removes the row and its version, so that the next change counts as the first.
export const resetUser = internalMutation({
  args: { clerkId: v.string() },
  returns: v.boolean(),
  handler: (ctx, { clerkId }) => sync.resetUser(ctx, clerkId),
});

// Returns the Clerk ids that have several rows in one part of the table. `cursor` is null before the first part and
// after the last.
export const findDuplicates = internalQuery({
  args: { cursor: v.nullable(v.string()) },
  returns: duplicates.duplicates,
  handler: (ctx, { cursor }) => duplicates.findDuplicates(ctx, cursor),
});

// Merges the rows of each of up to 100 Clerk ids into the oldest:
// npx convex run --prod users:repairDuplicates '{"clerkIds": ["user_…"]}'
export const repairDuplicates = internalMutation({
  args: { clerkIds: v.array(v.string()) },
  returns: duplicates.repairs,
  handler: (ctx, { clerkIds }) => duplicates.repairDuplicates(ctx, clerkIds),
});

// Returns the next rows without a Clerk id, with the text that each has in `column`. `clerk-convex adopt` calls it and
// the next two functions.
export const looseRows = internalQuery({
  args: { column: v.string(), cursor: v.nullable(v.string()) },
  returns: adopt.looseRows,
  handler: (ctx, { column, cursor }) => adopt.readLooseRows(ctx, column, cursor),
});

// Links up to 100 rows to Clerk ids, and returns what became of each.
export const adoptRows = internalMutation({
  args: { links: adopt.links },
  returns: v.array(adopt.adoption),
  handler: (ctx, { links }) => adopt.adoptRows(ctx, links),
});

// Returns what adoptRows would return, and writes nothing.
export const compareAdoption = internalQuery({
  args: { links: adopt.links },
  returns: v.array(adopt.adoption),
  handler: (ctx, { links }) => adopt.compareAdoption(ctx, links),
});

// Returns which of the next rows the tight table would refuse, and why. `clerk-convex adopt --check` calls it.
export const checkRows = internalQuery({
  args: { cursor: v.nullable(v.string()) },
  returns: adopt.checkedRows,
  handler: (ctx, { cursor }) => adopt.checkRows(ctx, cursor),
});

// Ends a lock. The change that locked the user schedules it.
export const endLock = internalMutation({
  args: { clerkId: v.string(), lockedUntil: v.number() },
  returns: v.null(),
  handler: async (ctx, { clerkId, lockedUntil }) => {
    await sync.endLock(ctx, clerkId, lockedUntil);
    return null;
  },
});

// Called by user management before and after an action at Clerk.
export const beginAction = internalMutation({
  args: actions.wantedAction,
  returns: actions.permission,
  handler: (ctx, wanted) => actions.begin(ctx, wanted),
});

export const finishAction = internalMutation({
  args: {
    id: v.id("clerkAudit"),
    outcome: v.union(v.literal("done"), v.literal("failed")),
    status: v.optional(v.number()), // of Clerk's answer
    code: v.optional(v.string()),
    target: v.optional(v.string()), // the Clerk id of a user that was created
    object: v.optional(v.string()), // the id of an invitation that was created
  },
  returns: v.null(),
  handler: async (ctx, { id, code: reason, ...end }) => {
    await actions.finish(ctx, id, { ...end, reason });
    return null;
  },
});

// Counts all users again, while changes continue: npx convex run --prod users:rebuildStats
export const rebuildStats = internalMutation({
  args: {},
  returns: v.string(),
  handler: (ctx) => rebuilds.rebuild(ctx),
});

// Counts a batch. rebuildStats schedules it, and it schedules itself until all users are counted.
export const rebuildStatsStep = internalMutation({
  args: { next: v.number() },
  returns: v.null(),
  handler: async (ctx, { next }) => {
    console.info(await rebuilds.rebuildStep(ctx, next));
    return null;
  },
});

// Deletes a batch of the counts before the last rebuild. It schedules itself until there are none left.
export const dropOldStats = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    await rebuilds.dropOld(ctx);
    return null;
  },
});

// Adds a batch of changes to the totals. The changes schedule it now and then, and it schedules itself until there are
// none left.
export const foldStats = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    await totals.fold(ctx);
    return null;
  },
});

// Returns the backfill to resume, or a new one. The backfill calls this and the next two functions to keep its
// progress.
export const startBackfill = internalMutation({
  args: {
    options: v.string(),
    restart: v.boolean(),
    holder: v.string(), // a name of this start, equal only in a call that is repeated
  },
  returns: backfillRun,
  handler: (ctx, wanted) => backfill.startRun(ctx, wanted),
});

// Saves the progress of a backfill. Returns false if another process has taken it over.
export const saveBackfill = internalMutation({
  args: {
    id: v.id("clerkBackfills"),
    attempt: v.number(),
    progress: v.nullable(backfillProgress), // null: only a heartbeat
    release: v.boolean(), // true: this process stops early, and another one may resume immediately
  },
  returns: v.boolean(),
  handler: (ctx, { progress, release, ...held }) => backfill.saveRun(ctx, held, progress, release),
});

// Closes a backfill. Returns false if another process has taken it over.
export const finishBackfill = internalMutation({
  args: { id: v.id("clerkBackfills"), attempt: v.number(), progress: backfillProgress },
  returns: v.boolean(),
  handler: (ctx, { progress, ...held }) => backfill.finishRun(ctx, held, progress),
});

// Returns the version of these functions and the columns that they take. The service compares it with its own.
export const about = internalQuery({
  args: {},
  returns: version.aboutFunctions,
  handler: () => version.about(),
});

// Saves the numbers of the comparison at the end of the nightly run.
export const saveVerification = internalMutation({
  args: { verified: tables.verified },
  returns: v.null(),
  handler: async (ctx, { verified }) => {
    await backfill.saveVerified(ctx, verified);
    return null;
  },
});

// Takes, renews or releases the lease of a follower, and saves what its last pass has reached.
export const leaseFollow = internalMutation({
  args: {
    holder: v.string(),
    ms: v.number(), // 0: release the lease
    pass: v.nullable(v.object({ followed: tables.followed, every: v.number() })),
    created: v.number(), // users that the holder has created since it started
  },
  returns: follow.followLease,
  handler: (ctx, wanted) => follow.lease(ctx, wanted),
});

// Returns the number of rows, for followers.
export const countUsers = internalQuery({
  args: {},
  returns: follow.countedUsers,
  handler: (ctx) => follow.countUsers(ctx),
});

// Records changes that were refused: by these functions, or because the user cannot be read.
export const recordRefusals = internalMutation({
  args: { refusals: v.array(ledger.refused) },
  returns: v.null(),
  handler: async (ctx, { refusals }) => {
    await ledger.recordRefusals(ctx, refusals);
    return null;
  },
});

// Returns a page of the Clerk ids with a refused change.
export const refusedUsers = internalQuery({
  args: { paginationOpts: paginationOptsValidator },
  returns: ledger.refusedUsers,
  handler: (ctx, { paginationOpts }) => ledger.refusedPage(ctx, paginationOpts),
});

// Returns what is synced, how fresh it is and what was refused: npx convex run --prod users:status
export const status = internalQuery({
  args: {},
  returns: upkeep.status,
  handler: (ctx) => upkeep.readStatus(ctx),
});

// Returns a part of all that is stored of a person. `cursor` is null before the first part and after the last.
export const exportPerson = internalQuery({
  args: { clerkId: v.string(), cursor: v.nullable(v.string()) },
  returns: persons.exported,
  handler: (ctx, { clerkId, cursor }) => persons.exportPerson(ctx, clerkId, cursor),
});

// Erases a part of what is stored of a person. In the audit log `pseudonym` takes the place of the Clerk id.
export const forgetPerson = internalMutation({
  args: { clerkId: v.string(), pseudonym: v.string(), cursor: v.nullable(v.string()) },
  returns: persons.forgotten,
  handler: (ctx, { clerkId, pseudonym, cursor }) => persons.forgetPerson(ctx, clerkId, pseudonym, cursor),
});

// Returns when a webhook last changed a row, in Unix milliseconds by Convex's clock and up to a minute too early, or
// null if none ever did.
export const lastWebhookAt = internalQuery({
  args: {},
  returns: v.nullable(v.number()),
  handler: (ctx) => webhook.lastWebhookAt(ctx),
});

// Deletes a batch of old entries of the audit log, and closes abandoned actions. crons.ts calls it every day, and it
// schedules itself until there is nothing left to do.
export const pruneClerkAudit = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    await audit.pruneAudit(ctx);
    return null;
  },
});
