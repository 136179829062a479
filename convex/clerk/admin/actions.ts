// What an admin is about to do at Clerk: whether it is allowed, and what became of it. Each attempt is one row of
// the audit log.
import { v, type Infer } from "convex/values";
import type { Doc, Id } from "../../_generated/dataModel";
import type { MutationCtx } from "../../_generated/server";
import { findAdmin, isAdmin, MESSAGES as ACCESS_MESSAGES, possibleAdmins } from "../access";
import { readUser } from "../order/state";

const OPEN_MS = 60 * 1000; // what an attempt did has reached the users by then, or it has come to nothing
const ABANDONED_MS = 10 * 60 * 1000; // far more than a service takes for an action; nobody will tell its end
const BATCH = 100; // abandoned attempts that a transaction ends, and the newest of one request that it looks at

const MESSAGES = {
  ...ACCESS_MESSAGES,
  self: "You cannot take your own administration away. Ask another administrator.",
  last_admin: "This is the last active administrator. Give someone else the admin role first.",
};

export const attempt = v.object({
  actor: v.string(), // the Clerk id of the admin
  action: v.string(),
  target: v.optional(v.string()), // the Clerk id of the user
  requestId: v.string(), // a call with the same one is the same attempt
  removesAdmin: v.boolean(), // done, it leaves a target who is an admin none
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

type Attempt = Infer<typeof attempt>;
type Refusal = Infer<typeof refusal>;

export async function begin(ctx: MutationCtx, wanted: Attempt): Promise<Infer<typeof permission>> {
  const { target: clerkId, ...rest } = wanted;
  const row = { ...rest, clerkId, fields: [], source: "admin" as const };
  await endAbandoned(ctx);
  const known = await findOpen(ctx, wanted);
  const reason = known?.outcome === "denied" ? (known.reason as Refusal) : await whyNot(ctx, wanted);
  if (reason !== null) {
    if (known?.outcome !== "denied") await ctx.db.insert("clerkAudit", { ...row, outcome: "denied", reason });
    return { allowed: false, reason, message: MESSAGES[reason] };
  }
  return { allowed: true, id: known?._id ?? (await ctx.db.insert("clerkAudit", { ...row, outcome: "started" })) };
}

// Ends attempts whose service did not tell what became of them: it stopped, or never heard that it might begin. True if
// there may be more of them.
export async function endAbandoned(ctx: MutationCtx): Promise<boolean> {
  const abandoned = await ctx.db
    .query("clerkAudit")
    .withIndex("by_outcome", (q) => q.eq("outcome", "started").lt("_creationTime", Date.now() - ABANDONED_MS))
    .take(BATCH);
  for (const { _id } of abandoned) await ctx.db.patch("clerkAudit", _id, { outcome: "failed", reason: "unknown" });
  return abandoned.length === BATCH;
}

// Told twice, the first counts.
export async function finish(
  ctx: MutationCtx,
  id: Id<"clerkAudit">,
  end: Pick<Doc<"clerkAudit">, "outcome" | "status" | "reason">,
): Promise<void> {
  const row = await ctx.db.get("clerkAudit", id);
  if (row?.outcome === "started") await ctx.db.patch("clerkAudit", id, end);
}

// The caller may not have heard our answer, and asks again: a refusal stays one for a while, a start until its end.
async function findOpen(ctx: MutationCtx, { actor, action, target, requestId }: Attempt) {
  const rows = await ctx.db
    .query("clerkAudit")
    .withIndex("by_request_id", (q) => q.eq("requestId", requestId))
    .order("desc")
    .take(BATCH);
  const same = rows.filter((row) => row.actor === actor && row.action === action && row.clerkId === target);
  const since = Date.now() - OPEN_MS;
  const denied = same.find((row) => row.outcome === "denied" && row._creationTime > since);
  return denied ?? same.find((row) => row.outcome === "started") ?? null;
}

async function whyNot(ctx: MutationCtx, { actor, target, removesAdmin }: Attempt): Promise<Refusal | null> {
  const admin = await findAdmin(ctx, actor);
  if (typeof admin === "string") return admin;
  if (!removesAdmin || target === undefined) return null;
  if (target === actor) return "self";
  const user = await readUser(ctx, target);
  if (user === null || !isAdmin(user)) return null;
  // Two admins may remove each other at once: whoever is being removed does not count as one who stays.
  const leaving = new Set([target, ...(await beingRemoved(ctx))]);
  for await (const other of possibleAdmins(ctx)) {
    if (!isAdmin(other) || leaving.has(other.clerkId)) continue;
    // A second row of a user decides nothing.
    if ((await readUser(ctx, other.clerkId))?._id === other._id) return null;
  }
  return "last_admin";
}

// Also what Clerk has done and could not be written here, and what it may have done although it did not say so.
async function beingRemoved(ctx: MutationCtx): Promise<string[]> {
  const since = Date.now() - OPEN_MS;
  const recent = (outcome: "started" | "done" | "failed") =>
    ctx.db
      .query("clerkAudit")
      .withIndex("by_outcome", (q) => q.eq("outcome", outcome).gt("_creationTime", since))
      .collect();
  const [started, done, failed] = await Promise.all([recent("started"), recent("done"), recent("failed")]);
  const unclear = failed.filter(({ status = 0 }) => status >= 500);
  return [...started, ...done, ...unclear].flatMap(({ removesAdmin, clerkId }) =>
    removesAdmin && clerkId !== undefined ? [clerkId] : [],
  );
}
