// What an admin is about to do at Clerk: whether it is allowed, and what became of it. Each attempt is one row of
// the audit log.
import { v, type Infer } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel";
import type { MutationCtx } from "../_generated/server";
import { findAdmin, isAdmin, MESSAGES as ACCESS_MESSAGES, possibleAdmins } from "./access";
import { readUser } from "./state";

const OPEN_MS = 60 * 1000; // what an attempt did has reached the users by then, or it has come to nothing

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
  const reason = await whyNot(ctx, wanted);
  if (reason !== null) {
    await ctx.db.insert("clerkAudit", { ...row, outcome: "denied", reason });
    return { allowed: false, reason, message: MESSAGES[reason] };
  }
  const started = await findStarted(ctx, wanted);
  return { allowed: true, id: started ?? (await ctx.db.insert("clerkAudit", { ...row, outcome: "started" })) };
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

// The caller may not have heard our answer, and asks again.
async function findStarted(ctx: MutationCtx, { actor, action, target, requestId }: Attempt) {
  const rows = ctx.db.query("clerkAudit").withIndex("by_request_id", (q) => q.eq("requestId", requestId));
  for await (const row of rows) {
    const isSame = row.actor === actor && row.action === action && row.clerkId === target;
    if (isSame && row.outcome === "started") return row._id;
  }
  return null;
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
    if (isAdmin(other) && !leaving.has(other.clerkId)) return null;
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
