// The tables, and the validators and names that the functions share with them. A status, a source or an outcome is
// named here and nowhere else; other files use the validator or the type.
import { defineTable, paginationResultValidator } from "convex/server";
import { v, type Infer, type Validator, type VOptional, type VUnion, type VNull } from "convex/values";
import { extraColumns, ownColumns, requiredExtraColumns } from "./columns";
import { USERS } from "./module";

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

// The first of banned, deprovisioned and locked that applies, else active.
export const status = v.union(
  v.literal("active"),
  v.literal("banned"),
  v.literal("deprovisioned"), // removed by the company's directory
  v.literal("locked"),
);
export const STATUSES = status.members.map((member) => member.value);

// The columns that every user has.
const requiredColumns = {
  status,
  createdAt: v.number(), // Unix milliseconds by Clerk's clock, like all times unless noted
  ...requiredExtraColumns,
};

// The columns that a user may lack.
const optionalColumns = {
  externalId: v.string(),
  firstName: v.string(),
  lastName: v.string(),
  username: v.string(),
  email: v.string(), // the primary address, or none
  emailVerified: v.boolean(),
  phone: v.string(),
  imageUrl: v.string(),
  role: v.string(), // public_metadata.role, which users cannot write themselves
  publicMetadata: v.string(), // JSON text, because metadata may hold values that Convex refuses
  lastSignInAt: v.number(),
  lockedUntil: v.number(), // when the lock ends by itself; without it the end of the lock is unknown
  ...extraColumns,
};

// The columns that sorting and search need. users/derived.ts computes them, and sortEmail, from the columns above.
const derivedColumns = {
  sortName: v.string(),
  searchText: v.string(),
};

const stamps = {
  updatedAt: v.number(), // the time of Clerk's last change of the user
  observedAt: v.number(), // when Clerk read the user for this change
};

// The origin of a change.
export const source = v.union(
  v.literal("webhook"),
  v.literal("backfill"),
  v.literal("admin"),
  v.literal("user"), // a request of the user brought the own row: right after the sign-up, or before an admin's action
  v.literal("manual"), // syncUser, deleteUser, resetUser, repairDuplicates and forgetPerson, by hand
  v.literal("schedule"), // endLock, when a lock ends by itself
);

// The result of a change of a user, or of an admin's action.
export const auditOutcome = v.union(
  v.literal("created"),
  v.literal("updated"),
  v.literal("deleted"),
  v.literal("reset"),
  v.literal("merged"), // a second row of the same user was merged into the first
  v.literal("started"), // an action that has no end yet
  v.literal("done"),
  v.literal("denied"),
  v.literal("failed"),
  v.literal("unknown"), // an action whose end nobody recorded: Clerk may have done it
);

// The result of a change that was applied.
export const appliedOutcome = v.union(v.literal("created"), v.literal("updated"), v.literal("deleted"));

// The origin of a change, for the audit log.
const origin = {
  source,
  eventId: v.optional(v.string()), // the webhook's svix-id
  actor: v.optional(v.string()), // the Clerk id of the admin
  actionId: v.optional(v.id("clerkAudit")), // the entry of the admin's action that made the change
};

// An entry of the audit log. Its time is the _creationTime. It holds names of fields and never their values.
export const auditColumns = {
  outcome: auditOutcome,
  clerkId: v.optional(v.string()),
  count: v.optional(v.number()), // in place of a clerkId: the number of users that a backfill created
  fields: v.array(v.string()), // the columns that changed; [] for a new row, which has all of them
  source,
  eventId: v.optional(v.string()), // of the webhook that brought the change
  // The next columns are filled only for an admin's action, which is one entry from its start to its end, with the change
  // that it made; see admin/actions.ts.
  actor: v.optional(v.string()), // the Clerk id of the admin
  action: v.optional(v.string()),
  change: v.optional(appliedOutcome), // of the user's row
  object: v.optional(v.string()), // the id of the session or of the invitation
  requestId: v.optional(v.string()),
  removesAdmin: v.optional(v.boolean()), // true: once the action is done, the target is no admin
  reason: v.optional(v.string()), // why it was denied, or the code of the error it failed with
  status: v.optional(v.number()), // of the answer it failed with
  endedAt: v.optional(v.number()), // when it was done or failed, by Convex's clock; it started at _creationTime
};

// The progress of a backfill. A range covers users by their created_at; a bound that is null is open.
const position = v.object({ createdAt: v.number(), id: v.string() }); // the last user that was written
export const backfillProgress = v.object({
  ranges: v.array(
    v.object({
      after: v.nullable(v.number()), // inclusive
      before: v.nullable(v.number()), // exclusive
      position: v.nullable(position),
      done: v.boolean(),
    }),
  ),
  counts: v.record(v.string(), v.number()), // numbers of users by outcome
  failures: v.array(v.object({ clerkId: v.string(), reason: v.string() })), // only the first ones
});

// The numbers of a comparison with Clerk; see `Verification` in clerk_convex/backfill/report.py.
export const verified = v.object({
  users: v.number(),
  rows: v.number(),
  missing: v.number(),
  differing: v.number(),
  extra: v.number(),
  duplicate: v.number(),
  unreadable: v.number(),
  unlinked: v.number(), // rows without a Clerk id, in a table that existed before
});

// How far followers have read; see clerk_convex/backfill/follow.py.
export const followed = v.object({
  updatedAt: v.number(), // all that changed until here is written: Unix milliseconds by Clerk's clock
  signedInAt: v.number(), // the same for sign-ins
  surplus: v.number(), // rows more than users at Clerk that the last prune left, or less
  doubts: v.number(), // passes in a row that counted more rows than that; below 0: less rows
});

export const clerkTables = {
  [USERS]: defineTable({
    clerkId: v.string(),
    ...requiredColumns,
    ...optional(optionalColumns),
    ...derivedColumns,
    sortEmail: v.optional(v.string()),
    // The stamp of the change that last wrote the row: [updatedAt, observedAt]. An array costs the fewest bytes, and a
    // table that existed before may have an updatedAt of its own.
    clerkStamp: v.optional(v.array(v.number())),
    ...ownColumns,
  })
    // An index is written with every row, so there are few. Each order has one, which begins with the status, and the
    // list of all users is merged from its parts; see users/sorted.ts. The search index is not written with the row: it
    // finds external ids, phone numbers and admins too.
    .index("by_clerk_id", ["clerkId"])
    .index("by_status_and_created_at", ["status", "createdAt"])
    .index("by_status_and_last_sign_in_at", ["status", "lastSignInAt"])
    .index("by_status_and_sort_email", ["status", "sortEmail"])
    .index("by_status_and_sort_name", ["status", "sortName"])
    .searchIndex("by_search_text", { searchField: "searchText", filterFields: ["status", "role"] }),

  // The stamps that no row holds: the tombstone of a deleted user, and a newer stamp of a user whose row did not change.
  // The list queries do not read this table, so a new stamp of an unchanged user does not run them again. When the row
  // is written again it has the greater stamp, and the document is left as it is: order/rules.ts takes the greater one.
  clerkVersions: defineTable({
    clerkId: v.string(),
    ...stamps,
    deletedAt: v.optional(v.number()), // set: the user is deleted, and this document is the tombstone
    pruned: v.optional(v.literal(true)), // the deletion was concluded by a backfill, not announced by Clerk
  }).index("by_clerk_id", ["clerkId"]),

  // The audit log. Every user has entries, so an entry is small: it leaves out an outcome "created", a source "webhook" and
  // fields that are [], and audit/entries.ts puts them back. It has one index, because each costs about 100 bytes with
  // every entry.
  clerkAudit: defineTable({
    ...auditColumns,
    outcome: v.optional(auditOutcome),
    fields: v.optional(v.array(v.string())),
    source: v.optional(source),
  }).index("by_clerk_id", ["clerkId"]),

  // One document for each entry of the audit log that has an actor, or that is rare: what the log is filtered by, and the
  // request whose answer may be asked for again. These entries are few, so their indexes cost little.
  clerkActions: defineTable({
    entry: v.id("clerkAudit"),
    requestId: v.optional(v.string()),
    at: v.optional(v.number()), // the _creationTime of the entry. An earlier version kept only the columns above
    outcome: v.optional(auditOutcome),
    actor: v.optional(v.string()),
    action: v.optional(v.string()),
  })
    .index("by_entry", ["entry"])
    .index("by_request_id", ["requestId"])
    .index("by_outcome", ["outcome", "at"])
    .index("by_actor", ["actor", "at"])
    .index("by_action", ["action", "at"]),

  // One document: which entries of an earlier version are not in clerkActions yet; see audit/older.ts.
  clerkAuditState: defineTable({
    before: v.number(), // those before this time; 0: none
  }),

  // One document: when a webhook last changed a row; see upkeep/webhook.ts.
  clerkWebhook: defineTable({
    lastAt: v.number(), // by Convex's clock, at most a minute too early
  }),

  // Counts of users: one document for each key of a generation. The changes that clerkStatsDeltas and clerkStatsMoves
  // still hold are to be added; see users/totals.ts.
  clerkStats: defineTable({
    generation: v.number(),
    key: v.string(), // "status", or a month: "2026-11"
    shard: v.optional(v.number()), // earlier versions kept several documents of a key, whose sum is the count
    counts: v.record(v.string(), v.number()), // by status, or by day: "2026-11-22"
  }).index("by_generation_and_key", ["generation", "key"]),

  // One document: which generation of counts is read. Every mutation that changes a count reads it, so it changes only
  // when a rebuild starts or ends.
  clerkStatsState: defineTable({
    generation: v.number(), // 0: nothing has been counted yet
    next: v.optional(v.number()), // the generation that a running rebuild fills
    position: v.optional(v.string()), // of a rebuild of an earlier version
  }),

  // The progress of a running rebuild; see users/rebuild.ts.
  clerkStatsRebuild: defineTable({
    next: v.number(), // the generation that it fills
    position: v.string(), // the last clerkId that it has counted
    end: v.string(), // the last clerkId that it will count
  }),

  // The changes of the counts by one mutation, until a fold adds them to clerkStats. The text has the generation, and by
  // how much each count changes: "1 banned active:-1 2026-11-22:3". No index, because one is written for each new user.
  clerkStatsDeltas: defineTable({ delta: v.string() }),

  // The same while a rebuild runs, for each changed row.
  clerkStatsMoves: defineTable({
    clerkId: v.string(),
    next: v.number(), // the generation that the rebuild filled
    delta: v.string(),
  }).index("by_clerk_id", ["clerkId"]),

  // One document for each of the last backfills; see backfill/runs.ts.
  clerkBackfills: defineTable({
    options: v.string(), // a run is resumed only with the same options
    holder: v.optional(v.string()), // the start that began or last resumed it
    attempt: v.number(), // grows by one when a process resumes the run
    startedAt: v.number(), // this time and the next two are by Convex's clock
    heartbeatAt: v.number(),
    finishedAt: v.optional(v.number()),
    progress: v.nullable(backfillProgress), // null: no page has been read yet
    verifiedAt: v.optional(v.number()), // when the nightly run compared both sides after it
    verified: v.optional(verified),
  }),

  // One document: which follower holds the lease, and how far it has read; see backfill/follow.ts.
  clerkFollow: defineTable({
    holder: v.string(),
    expiresAt: v.number(), // this time and the next are by Convex's clock
    finishedAt: v.optional(v.number()), // the end of the last pass
    every: v.optional(v.number()), // milliseconds between two passes
    followed: v.optional(followed),
    // How many of the users that each follower created are in the audit log.
    recorded: v.optional(v.array(v.object({ holder: v.string(), created: v.number() }))),
  }),

  // One document for each Clerk id with a change that was refused, until a later change of it is accepted; see
  // upkeep/refusals.ts. It holds no value of a user.
  clerkRefusals: defineTable({
    clerkId: v.string(),
    source,
    eventId: v.optional(v.string()), // of the last refused event
    reason: v.string(),
    observedAt: v.number(), // the latest time when Clerk read the user for a refused change; 0: unknown
    count: v.number(),
    firstAt: v.number(), // this time and the next are by Convex's clock
    lastAt: v.number(),
  })
    .index("by_clerk_id", ["clerkId"])
    .index("by_last_at", ["lastAt"]),
};

// The same tables for a users table that has rows already: a push accepts rows that lack our columns, or have other
// values in them. To TypeScript it is the table that it will be. `clerk-convex adopt --check` says when.
export const looseClerkTables = { ...clerkTables, [USERS]: loose(clerkTables[USERS]) };

function loose<Table extends { validator: { fields: Record<string, any> } }>(table: Table): Table {
  const columns = Object.keys(table.validator.fields).map((name) => [name, v.optional(v.any())]);
  const validator = v.object({ ...Object.fromEntries(columns), ...ownColumns });
  return Object.create(table, { validator: { value: validator } }) as Table;
}

// One change of one user. In `columns`, null unsets a column, and a column that is not named keeps its value.
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
// A sign-in whose event has no complete user. Only its time is used.
const signIn = v.object({
  type: v.literal("signIn"),
  clerkId: v.string(),
  lastSignInAt: v.number(),
  ...origin,
});
export const change = v.union(upsert, remove, signIn);

// The argument of users:syncUser: an upsert's columns with its stamps.
export const userData = v.object({ ...stamps, ...requiredColumns, ...nullable(optionalColumns) });

// The columns that a Clerk user fills. The other columns of a row are the team's own or derived.
export const clerkColumns: ReadonlySet<string> = new Set(Object.keys({ ...requiredColumns, ...optionalColumns }));

// The result of one change.
export const outcome = v.union(
  v.literal("created"),
  v.literal("updated"),
  v.literal("unchanged"),
  v.literal("stale"), // Convex has a newer state
  v.literal("deleted"),
  v.literal("tombstoned"), // the user was deleted before, and stays deleted
  v.literal("ignored"), // a sign-in of a user without a row
);

export const backfillRun = v.object({
  id: v.id("clerkBackfills"),
  attempt: v.number(),
  startedAt: v.number(),
  progress: v.nullable(backfillProgress),
  isBeside: v.optional(v.boolean()), // true: a new run, because another one with the same options is still active
});

export const exportedUsers = paginationResultValidator(
  v.object({
    ...looseClerkTables[USERS].validator.fields, // a row of a loose table may be exported, too
    _id: v.id(USERS),
    _creationTime: v.number(),
    updatedAt: v.nullable(v.number()), // null: no change has been applied to this row yet
    observedAt: v.nullable(v.number()),
  }),
);

// A row of `users` and a document of `clerkVersions`, without Convex's own fields.
export type Row = Infer<(typeof clerkTables)[typeof USERS]["validator"]>;
export type Version = Infer<typeof clerkTables.clerkVersions.validator>;

export type Upsert = Infer<typeof upsert>;
export type Delete = Infer<typeof remove>;
export type SignIn = Infer<typeof signIn>;
export type Change = Infer<typeof change>;
export type UserData = Infer<typeof userData>;
export type Outcome = Infer<typeof outcome>;
export type AppliedOutcome = Infer<typeof appliedOutcome>;
export type Source = Infer<typeof source>;
export type AuditOutcome = Infer<typeof auditOutcome>;
export type Status = Infer<typeof status>;
export type Verified = Infer<typeof verified>;
export type BackfillProgress = Infer<typeof backfillProgress>;
