// The tables, and the validators that the functions share with them.
import { defineTable, paginationResultValidator } from "convex/server";
import { v, type Infer, type Validator, type VOptional, type VUnion, type VNull } from "convex/values";
import { extraColumns, requiredExtraColumns } from "./columns";

type Required = Validator<any, "required", any>;

function optional<Columns extends Record<string, Required>>(columns: Columns) {
  const entries = Object.entries(columns).map(([name, column]) => [name, v.optional(column)]);
  return Object.fromEntries(entries) as { [Name in keyof Columns]: VOptional<Columns[Name]> };
}

function nullable<Columns extends Record<string, Required>>(columns: Columns) {
  const entries = Object.entries(columns).map(([name, column]) => [name, v.optional(v.nullable(column))]);
  return Object.fromEntries(entries) as {
    [Name in keyof Columns]: VOptional<
      VUnion<Columns[Name]["type"] | null, [Columns[Name], VNull], "required", string>
    >;
  };
}

// What every user has.
const requiredColumns = {
  // A user who is several of them has the first of: banned, deprovisioned (by the company's directory), locked.
  status: v.union(v.literal("active"), v.literal("banned"), v.literal("deprovisioned"), v.literal("locked")),
  createdAt: v.number(), // this time and all others: Unix milliseconds, Clerk's clock
  ...requiredExtraColumns,
};

// What a user may lack.
const optionalColumns = {
  externalId: v.string(),
  firstName: v.string(),
  lastName: v.string(),
  username: v.string(),
  email: v.string(), // the primary address, or none
  emailVerified: v.boolean(),
  phone: v.string(),
  imageUrl: v.string(),
  role: v.string(), // public_metadata.role; what users can write themselves decides nothing
  publicMetadata: v.string(), // as JSON text, because metadata may hold what Convex refuses
  lastSignInAt: v.number(),
  lockedUntil: v.number(), // when the lock ends by itself; a lock without it has no known end
  ...extraColumns,
};

// What sorting and search need; derived.ts keeps them, and sortEmail, in step with the columns above.
const derivedColumns = {
  sortName: v.string(),
  searchText: v.string(),
};

const stamps = {
  updatedAt: v.number(), // the user's own
  observedAt: v.number(), // when Clerk looked
};

const source = v.union(
  v.literal("webhook"),
  v.literal("backfill"),
  v.literal("admin"),
  v.literal("manual"), // syncUser, deleteUser, resetUser and repairDuplicates, by hand
  v.literal("schedule"), // a lock that ended by itself
);

// The result of a change of what a user is, or of an admin's action.
export const auditOutcome = v.union(
  v.literal("created"),
  v.literal("updated"),
  v.literal("deleted"),
  v.literal("reset"),
  v.literal("merged"), // a second row of the same user, into the first
  v.literal("started"), // an action that has no end yet
  v.literal("done"),
  v.literal("denied"),
  v.literal("failed"),
);

// What brought a change, for the audit log.
const origin = {
  source,
  eventId: v.optional(v.string()), // the webhook's svix-id
  actor: v.optional(v.string()), // the Clerk id of the admin
};

// How far a backfill has come. A range is of users' created_at, and null is open.
const position = v.object({ createdAt: v.number(), id: v.string() }); // of the last user who was written
export const backfillProgress = v.object({
  ranges: v.array(
    v.object({
      after: v.nullable(v.number()), // inclusive
      before: v.nullable(v.number()), // exclusive
      position: v.nullable(position),
      done: v.boolean(),
    }),
  ),
  counts: v.record(v.string(), v.number()), // of users, by outcome
  failures: v.array(v.object({ clerkId: v.string(), reason: v.string() })), // the first ones
});

export const clerkTables = {
  users: defineTable({
    clerkId: v.string(),
    ...requiredColumns,
    ...optional(optionalColumns),
    ...derivedColumns,
    sortEmail: v.optional(v.string()),
  })
    // In pairs: for all users, and for those of one status.
    .index("by_clerk_id", ["clerkId"])
    .index("by_status_and_clerk_id", ["status", "clerkId"])
    .index("by_external_id", ["externalId"])
    .index("by_status_and_external_id", ["status", "externalId"])
    .index("by_phone", ["phone"])
    .index("by_status_and_phone", ["status", "phone"])
    .index("by_created_at", ["createdAt"])
    .index("by_status_and_created_at", ["status", "createdAt"])
    .index("by_last_sign_in_at", ["lastSignInAt"])
    .index("by_status_and_last_sign_in_at", ["status", "lastSignInAt"])
    .index("by_sort_email", ["sortEmail"])
    .index("by_status_and_sort_email", ["status", "sortEmail"])
    .index("by_sort_name", ["sortName"])
    .index("by_status_and_sort_name", ["status", "sortName"])
    .index("by_role_and_status", ["role", "status"])
    .searchIndex("by_search_text", { searchField: "searchText", filterFields: ["status"] }),

  // One small document per Clerk id, and no page reads it: so a new stamp on an unchanged user wakes nobody.
  clerkVersions: defineTable({
    clerkId: v.string(),
    ...stamps,
    deletedAt: v.optional(v.number()), // the user is gone: a tombstone, and kept
    pruned: v.optional(v.literal(true)), // a tombstone that a backfill concluded, not one that Clerk announced
  }).index("by_clerk_id", ["clerkId"]),

  // When is _creationTime. Names of fields, never their values.
  clerkAudit: defineTable({
    outcome: auditOutcome,
    clerkId: v.optional(v.string()),
    count: v.optional(v.number()), // in place of a clerkId: of the users whom a backfill created
    fields: v.array(v.string()),
    ...origin,
    // These of an admin's action only; see admin/actions.ts.
    action: v.optional(v.string()),
    requestId: v.optional(v.string()),
    removesAdmin: v.optional(v.boolean()), // done, the target is no admin
    reason: v.optional(v.string()), // why it was denied, or the code of the error it failed with
    status: v.optional(v.number()), // of the answer it failed with
  })
    .index("by_source", ["source"])
    // eslint-disable-next-line @convex-dev/no-duplicate-indexes -- in order of _creationTime, not of outcome
    .index("by_clerk_id", ["clerkId"])
    .index("by_outcome", ["outcome"])
    .index("by_clerk_id_and_outcome", ["clerkId", "outcome"])
    .index("by_request_id", ["requestId"]),

  // Counts of users, in shards that add up; see stats.ts.
  clerkStats: defineTable({
    generation: v.number(),
    key: v.string(), // "status", or a month: "2026-11"
    shard: v.number(),
    counts: v.record(v.string(), v.number()), // by status, or by day: "2026-11-22"
  }).index("by_generation_and_key_and_shard", ["generation", "key", "shard"]),

  // One document: which counts are read, and how far a rebuild has come.
  clerkStatsState: defineTable({
    generation: v.number(), // 0: nothing has been counted yet
    next: v.optional(v.number()), // the generation that a rebuild makes
    position: v.optional(v.string()), // the last clerkId that it has counted
  }),

  // A document for each of the last runs; see backfill.ts.
  clerkBackfills: defineTable({
    options: v.string(), // a run is gone on with by one that has the same
    attempt: v.number(), // grows when another process goes on with it
    startedAt: v.number(), // these three: Convex's clock
    heartbeatAt: v.number(),
    finishedAt: v.optional(v.number()),
    progress: v.nullable(backfillProgress), // null: nothing has been read yet
  }),
};

// One change of one user. In `columns` null unsets a column, and one that is not named stays as it is.
const upsert = v.object({
  type: v.literal("upsert"),
  clerkId: v.string(),
  ...stamps,
  ...origin,
  columns: v.object({ ...requiredColumns, ...nullable(optionalColumns) }),
});
const remove = v.object({
  type: v.literal("delete"),
  clerkId: v.string(),
  observedAt: v.number(),
  ...origin,
});
// A sign-in that says nothing certain of the user but its time.
const signIn = v.object({
  type: v.literal("signIn"),
  clerkId: v.string(),
  lastSignInAt: v.number(),
  ...origin,
});
export const change = v.union(upsert, remove, signIn);

// The argument of users:syncUser: an upsert's columns with its stamps.
export const userData = v.object({ ...stamps, ...requiredColumns, ...nullable(optionalColumns) });

export const status = requiredColumns.status;
export const STATUSES = status.members.map((member) => member.value);

// The columns that Clerk's user fills. All others of a row are the team's own, or derived.
export const clerkColumns: ReadonlySet<string> = new Set(Object.keys({ ...requiredColumns, ...optionalColumns }));

export const outcome = v.union(
  v.literal("created"),
  v.literal("updated"),
  v.literal("unchanged"),
  v.literal("stale"), // Convex has something newer
  v.literal("deleted"),
  v.literal("tombstoned"), // the user was deleted, and stays deleted
  v.literal("ignored"), // a sign-in of a user who has no row yet
);

export const backfillRun = v.object({
  id: v.id("clerkBackfills"),
  attempt: v.number(),
  startedAt: v.number(),
  progress: v.nullable(backfillProgress),
  isBeside: v.optional(v.boolean()), // a new run, because one with the same options is under way
});

export const exportedUsers = paginationResultValidator(
  v.object({
    ...clerkTables.users.validator.fields,
    _id: v.id("users"),
    _creationTime: v.number(),
    updatedAt: v.nullable(v.number()), // null: a row that no change has come to yet
    observedAt: v.nullable(v.number()),
  }),
);

export type Upsert = Infer<typeof upsert>;
export type Delete = Infer<typeof remove>;
export type SignIn = Infer<typeof signIn>;
export type Change = Infer<typeof change>;
export type Outcome = Infer<typeof outcome>;
export type Source = Infer<typeof source>;
export type AuditOutcome = Infer<typeof auditOutcome>;
export type Status = Infer<typeof status>;
export type BackfillProgress = Infer<typeof backfillProgress>;
