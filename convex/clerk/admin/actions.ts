// Decides whether an admin may do an action at Clerk, and records how it ended. Each action is one entry of the audit
// log: inserted when it starts or is denied, and patched when it has made its change and when it ends.
import { v, type Infer } from "convex/values";
import type { Id } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { findAdmin, isAdmin, MESSAGES as ACCESS_MESSAGES, possibleAdmins } from "../access";
import { addEntry, changeEntry, entryOf, type Columns, type Entry } from "../audit/entries";
import type { User } from "../module";
import { readUser } from "../state";
import type { AuditOutcome } from "../tables";

const OPEN_MS = 60 * 1000; // after that, the effect of an action has reached the users table, or there was none
const ABANDONED_MS = 10 * 60 * 1000; // far longer than a service retries to record the end
const BATCH = 100; // abandoned actions that one transaction closes, and rows of one request it reads

const MESSAGES = {
  ...ACCESS_MESSAGES,
  self: "You cannot take your own administration away. Ask another administrator.",
  last_admin: "This is the last active administrator. Give someone else the admin role first.",
};

export const wantedAction = v.object({
  actor: v.string(), // the Clerk id of the admin
  action: v.string(),
  target: v.optional(v.string()), // the Clerk id of the user
  object: v.optional(v.string()), // the id of the session or of the invitation
  requestId: v.string(), // two calls with the same id are the same action
  publicMetadata: v.optional(v.string()), // the patch of update_metadata, as JSON text; it is not stored
});

const refusal = v.union(
  v.literal("not_synced"),
  v.literal("deleted"),
  v.literal("not_active"),
  v.literal("not_admin"),
  v.literal("self"),
  v.literal("last_admin"),
);

export const permission = v.union(
  v.object({ allowed: v.literal(true), id: v.id("clerkAudit") }),
  v.object({ allowed: v.literal(false), reason: refusal, message: v.string() }),
);

type WantedAction = Infer<typeof wantedAction>;
type Refusal = Infer<typeof refusal>;
type Json = Record<string, unknown>;

// Returns whether the action may be done at Clerk, and records it. The row of an allowed action is open until `finish`;
// the row of a denied one has the reason.
export async function begin(ctx: MutationCtx, wanted: WantedAction): Promise<Infer<typeof permission>> {
  const { actor, action, target, object, requestId } = wanted;
  await closeAbandoned(ctx);
  const removesAdmin = await wouldRemoveAdmin(ctx, wanted);
  const entry = { actor, action, clerkId: target, object, requestId, removesAdmin, fields: [], source: "admin" as const };
  const known = await findKnown(ctx, wanted);
  const reason = known?.outcome === "denied" ? (known.reason as Refusal) : await whyNot(ctx, wanted, removesAdmin);
  if (reason !== null) {
    if (known?.outcome !== "denied") await addEntry(ctx, { ...entry, outcome: "denied", reason });
    return { allowed: false, reason, message: MESSAGES[reason] };
  }
  return { allowed: true, id: known?._id ?? (await addEntry(ctx, { ...entry, outcome: "started" })) };
}

// Closes the rows of actions whose service never recorded the end, because it stopped for example. Returns whether there
// may be more of them.
export async function closeAbandoned(ctx: MutationCtx): Promise<boolean> {
  const since = Date.now() - ABANDONED_MS;
  const abandoned = await ctx.db
    .query("clerkActions")
    .withIndex("by_outcome", (q) => q.eq("outcome", "started").lt("at", since))
    .take(BATCH);
  for (const { entry } of abandoned) await changeEntry(ctx, entry, { outcome: "unknown" });
  return abandoned.length === BATCH;
}

// The end of an action. `target` and `object` are those that it has created.
type End = Pick<Columns, "outcome" | "status" | "reason" | "object"> & { target?: string };

// Closes the row of an action. A second call changes nothing.
export async function finish(ctx: MutationCtx, id: Id<"clerkAudit">, { target, object, ...end }: End): Promise<void> {
  const row = await ctx.db.get("clerkAudit", id);
  if (row?.outcome !== "started") return;
  const { clerkId = target } = row;
  await changeEntry(ctx, id, { ...end, clerkId, object: row.object ?? object, endedAt: Date.now() });
}

// Returns the row of the same action, if the service asks again because it did not get our answer. A denial is repeated
// for OPEN_MS, and a permission until the row is closed.
async function findKnown(ctx: MutationCtx, { actor, action, target, requestId }: WantedAction) {
  const found = await ctx.db
    .query("clerkActions")
    .withIndex("by_request_id", (q) => q.eq("requestId", requestId))
    .order("desc")
    .take(BATCH);
  const entries = await entriesOf(ctx, found);
  const same = entries.filter((it) => it.actor === actor && it.action === action && it.clerkId === target);
  const since = Date.now() - OPEN_MS;
  const denied = same.find((entry) => entry.outcome === "denied" && entry._creationTime > since);
  return denied ?? same.find((entry) => entry.outcome === "started") ?? null;
}

async function entriesOf(ctx: QueryCtx, listed: { entry: Id<"clerkAudit"> }[]): Promise<Entry[]> {
  const rows = await Promise.all(listed.map(({ entry }) => ctx.db.get("clerkAudit", entry)));
  return rows.flatMap((row) => (row === null ? [] : [entryOf(row)]));
}

async function whyNot(
  ctx: MutationCtx,
  { actor, target }: WantedAction,
  removesAdmin: boolean,
): Promise<Refusal | null> {
  const admin = await findAdmin(ctx, actor);
  if (typeof admin === "string") return admin;
  if (!removesAdmin || target === undefined) return null;
  if (target === actor) return "self";
  const user = await readUser(ctx, target);
  if (user === null || !isAdmin(user)) return null;
  // Two admins may remove each other at the same time. So an admin who is being removed does not count as remaining.
  const leaving = new Set([target, ...(await beingRemoved(ctx))]);
  for await (const other of possibleAdmins(ctx)) {
    if (!isAdmin(other) || leaving.has(other.clerkId)) continue;
    // A second row of the same user does not count.
    if ((await readUser(ctx, other.clerkId))?._id === other._id) return null;
  }
  return "last_admin";
}

// Returns the targets of recent actions that removed an admin, or may have done so. These include actions that Clerk has
// done but whose result is not written here yet, and actions that Clerk may have done although it answered with an
// error.
async function beingRemoved(ctx: MutationCtx): Promise<string[]> {
  const recent = async (outcome: AuditOutcome, ms = OPEN_MS) => {
    const listed = ctx.db
      .query("clerkActions")
      .withIndex("by_outcome", (q) => q.eq("outcome", outcome).gt("at", Date.now() - ms))
      .collect();
    return await entriesOf(ctx, await listed);
  };
  const [started, done, failed] = await Promise.all([
    recent("started", ABANDONED_MS), // its process may have been suspended before it called Clerk
    recent("done"),
    recent("failed"),
  ]);
  const unclear = failed.filter(({ status = 0 }) => status >= 500);
  return [...started, ...done, ...unclear].flatMap(({ removesAdmin, clerkId }) =>
    removesAdmin && clerkId !== undefined ? [clerkId] : [],
  );
}

// Returns whether the target is no admin once the action is done. True also if the target is no admin now, because the
// row may be older than Clerk's user. An action that is not listed here does not change the columns that `isAdmin`
// reads.
async function wouldRemoveAdmin(
  ctx: MutationCtx,
  { action, target, publicMetadata }: WantedAction,
): Promise<boolean> {
  if (target === undefined || !["ban", "lock", "delete", "update_metadata"].includes(action)) return false;
  const user = await readUser(ctx, target);
  if (user === null || action === "delete") return true;
  if (action === "ban") return !isAdmin({ ...user, status: "banned" });
  if (action === "lock") return !isAdmin({ ...user, status: "locked" });
  return !isAdmin(withMetadata(user, parseObject(publicMetadata)));
}

// Returns the row with the columns that the metadata fills, after Clerk has merged the patch into the metadata. The
// team's own columns stay as they are, because only the Python service can compute them.
function withMetadata(user: User, patch: Json): User {
  // Without the metadata, which CLERK_CONVEX_OMIT may leave out, the row still has the role.
  const known = user.publicMetadata === undefined ? { role: user.role } : parseObject(user.publicMetadata);
  const metadata = merge(known, patch);
  const role = typeof metadata.role === "string" ? metadata.role : undefined;
  return { ...user, role, publicMetadata: JSON.stringify(metadata) };
}

// Merges as Clerk does: nested objects are merged too, null removes a key at every level, any other value replaces.
function merge(old: unknown, patch: Json): Json {
  const merged = new Map(isObject(old) ? Object.entries(old) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, isObject(value) ? merge(merged.get(key), value) : value);
  }
  return Object.fromEntries(merged); // it makes even __proto__ an ordinary key
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Returns the object in a JSON text, or {} if there is no text or it is not an object.
function parseObject(text: string | undefined): Json {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
