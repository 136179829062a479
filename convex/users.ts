// Every function, registered once. All that write are internal: a public mutation would let anyone who knows the
// deployment's URL rewrite the users. The service calls them with a deploy key. Public are the queries of the users
// page; each makes sure who asks before it reads.
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { internalMutation, internalQuery, query } from "./_generated/server";
import { requireAdmin } from "./clerk/access";
import * as actions from "./clerk/admin/actions";
import * as audit from "./clerk/audit/log";
import * as backfill from "./clerk/backfill/runs";
import * as doubles from "./clerk/order/duplicates";
import * as queries from "./clerk/users/queries";
import { readVersion } from "./clerk/order/state";
import * as counts from "./clerk/users/stats";
import * as sync from "./clerk/order/sync";
import * as tables from "./clerk/tables";
import { backfillProgress, backfillRun, change, exportedUsers, outcome, userData } from "./clerk/tables";

// Who is signed in, and whether that is an admin.
export const currentUser = query({
  args: {},
  returns: queries.me,
  handler: (ctx) => queries.currentUser(ctx),
});

// For admins: pages of users, the newest first unless sorted otherwise, or the best matches of a search.
export const getUsers = query({
  args: {
    paginationOpts: paginationOptsValidator,
    status: v.optional(tables.status),
    sort: v.optional(queries.userSort),
    search: v.optional(v.string()),
  },
  returns: queries.usersPage,
  handler: async (ctx, request) => {
    await requireAdmin(ctx);
    return await queries.listUsers(ctx, request);
  },
});

// For admins.
export const getUser = query({
  args: { clerkId: v.string() },
  returns: v.nullable(queries.userDetails),
  handler: async (ctx, { clerkId }) => {
    await requireAdmin(ctx);
    return await queries.getUser(ctx, clerkId);
  },
});

// For admins: how many users, and sign-ups on each of 30 days. `today` is the last of them: a query does not run
// again because time passes.
export const stats = query({
  args: { today: v.optional(v.string()) },
  returns: counts.usersStats,
  handler: async (ctx, { today }) => {
    await requireAdmin(ctx);
    return await counts.readStats(ctx, today);
  },
});

// For admins: what became of whom, the newest first.
export const auditLog = query({
  args: {
    paginationOpts: paginationOptsValidator,
    clerkId: v.optional(v.string()),
    outcome: v.optional(tables.auditOutcome),
  },
  returns: audit.auditPage,
  handler: async (ctx, request) => {
    await requireAdmin(ctx);
    return await audit.readAudit(ctx, request);
  },
});

// What the webhook route, the backfill and user management call: one outcome for each change, in order.
export const syncUsers = internalMutation({
  args: { changes: v.array(change) },
  returns: v.array(outcome),
  handler: (ctx, { changes }) => sync.syncChanges(ctx, changes),
});

// The outcomes that syncUsers would have. Writes nothing.
export const compareUsers = internalQuery({
  args: { changes: v.array(change) },
  returns: v.array(outcome),
  handler: (ctx, { changes }) => sync.compareChanges(ctx, changes),
});

// Whole rows with their stamps, in the order they were created, or the other way round: for tools.
export const exportUsers = internalQuery({
  args: { paginationOpts: paginationOptsValidator, order: v.optional(v.union(v.literal("asc"), v.literal("desc"))) },
  returns: exportedUsers,
  handler: async (ctx, { paginationOpts, order }) => {
    const users = await ctx.db.query("users").order(order ?? "asc").paginate(paginationOpts);
    const page = users.page.map(async (user) => {
      const version = await readVersion(ctx, user.clerkId);
      return { ...user, updatedAt: version?.updatedAt ?? null, observedAt: version?.observedAt ?? null };
    });
    return { ...users, page: await Promise.all(page) };
  },
});

// By hand: npx convex run --prod users:syncUser '{"clerkId": "user_…", "userData": {…}}'
export const syncUser = internalMutation({
  args: { clerkId: v.string(), userData },
  returns: outcome,
  handler: async (ctx, { clerkId, userData: { updatedAt, observedAt, ...columns } }) => {
    const upsert = { type: "upsert" as const, source: "manual" as const, clerkId, updatedAt, observedAt, columns };
    return (await sync.syncChanges(ctx, [upsert]))[0]!;
  },
});

// By hand, and final: whatever comes later, the user stays deleted (but for resetUser).
export const deleteUser = internalMutation({
  args: { clerkId: v.string() },
  returns: outcome,
  handler: async (ctx, { clerkId }) => {
    const deletion = { type: "delete" as const, source: "manual" as const, clerkId, observedAt: Date.now() };
    return (await sync.syncChanges(ctx, [deletion]))[0]!;
  },
});

// The way out of a mistake: forgets the row and its version, so that the next change counts as the first.
export const resetUser = internalMutation({
  args: { clerkId: v.string() },
  returns: v.boolean(),
  handler: (ctx, { clerkId }) => sync.resetUser(ctx, clerkId),
});

// Clerk ids that have several rows, in order, those of a part of the table. `cursor` is null before the first part and
// after the last one.
export const findDuplicates = internalQuery({
  args: { cursor: v.nullable(v.string()) },
  returns: doubles.duplicates,
  handler: (ctx, { cursor }) => doubles.findDuplicates(ctx, cursor),
});

// Merges the rows of each of up to 100 Clerk ids into the oldest:
// npx convex run --prod users:repairDuplicates '{"clerkIds": ["user_…"]}'
export const repairDuplicates = internalMutation({
  args: { clerkIds: v.array(v.string()) },
  returns: doubles.repairs,
  handler: (ctx, { clerkIds }) => doubles.repairDuplicates(ctx, clerkIds),
});

// Scheduled by the change that locked a user for a time.
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
  },
  returns: v.null(),
  handler: async (ctx, { id, outcome, status, code: reason }) => {
    await actions.finish(ctx, id, { outcome, status, reason });
    return null;
  },
});

// Counts the users afresh, while changes go on: npx convex run --prod users:rebuildStats
export const rebuildStats = internalMutation({
  args: {},
  returns: v.string(),
  handler: (ctx) => counts.rebuild(ctx),
});

// It schedules these two, and they themselves until they are through.
export const rebuildStatsStep = internalMutation({
  args: { next: v.number() },
  returns: v.null(),
  handler: async (ctx, { next }) => {
    console.info(await counts.rebuildStep(ctx, next));
    return null;
  },
});

export const dropOldStats = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    await counts.dropOld(ctx);
    return null;
  },
});

// A backfill's position, kept by the backfill itself. saveBackfill and finishBackfill answer false if another
// process has taken the run over.
export const startBackfill = internalMutation({
  args: { options: v.string(), restart: v.boolean() },
  returns: backfillRun,
  handler: (ctx, { options, restart }) => backfill.startRun(ctx, options, restart),
});

export const saveBackfill = internalMutation({
  args: {
    id: v.id("clerkBackfills"),
    attempt: v.number(),
    progress: v.nullable(backfillProgress), // null: still there, and no further
    release: v.boolean(), // ended before its time, and to be gone on with at once
  },
  returns: v.boolean(),
  handler: (ctx, { progress, release, ...mine }) => backfill.saveRun(ctx, mine, progress, release),
});

export const finishBackfill = internalMutation({
  args: { id: v.id("clerkBackfills"), attempt: v.number(), progress: backfillProgress },
  returns: v.boolean(),
  handler: (ctx, { progress, ...mine }) => backfill.finishRun(ctx, mine, progress),
});

// When the last webhook arrived that changed a row, by Convex's clock; null if none ever did.
export const lastWebhookAt = internalQuery({
  args: {},
  returns: v.nullable(v.number()),
  handler: (ctx) => backfill.lastWebhookAt(ctx),
});

// Called by crons.ts, and by itself until it is through. It closes abandoned actions as well.
export const pruneClerkAudit = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    await audit.pruneAudit(ctx);
    return null;
  },
});
