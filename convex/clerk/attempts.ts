// What an admin is about to do at Clerk: whether he may, and what became of it. Each attempt is one row of the
// audit log.
import { v, type Infer } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel";
import type { MutationCtx } from "../_generated/server";
import { accessMessage, isAdmin, possibleAdmins, whyNotAdmin } from "./access";
import { readUser } from "./state";

const OPEN_MS = 60 * 1000; // after which an attempt that has no end counts as not done

export const attempt = v.object({
  actor: v.string(), // the Clerk id of the admin
  action: v.string(),
  target: v.optional(v.string()), // the Clerk id of the user
  requestId: v.string(),
  removesAdmin: v.boolean(), // afterwards the target is no active admin
});

const refusal = v.union(
  v.literal("not_signed_in"),
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

export async function begin(
  ctx: MutationCtx,
  wanted: Attempt,
): Promise<Infer<typeof permission>> {
  const reason = await whyNot(ctx, wanted);
  const { target: clerkId, ...rest } = wanted;
  const row = { ...rest, clerkId, source: "admin" as const, fields: [] };
  if (reason !== null) {
    await ctx.db.insert("clerkAudit", { ...row, outcome: "denied", reason });
    return { allowed: false, reason, message: messageOf(reason) };
  }
  return { allowed: true, id: await ctx.db.insert("clerkAudit", { ...row, outcome: "started" }) };
}

export async function finish(
  ctx: MutationCtx,
  id: Id<"clerkAudit">,
  end: Pick<Doc<"clerkAudit">, "outcome" | "status" | "reason">,
): Promise<void> {
  const row = await ctx.db.get("clerkAudit", id);
  if (row?.outcome === "started") await ctx.db.patch("clerkAudit", id, end);
}

async function whyNot(ctx: MutationCtx, { actor, target, removesAdmin }: Attempt): Promise<Refusal | null> {
  const reason = await whyNotAdmin(ctx, actor, await readUser(ctx, actor));
  if (reason !== null || !removesAdmin || target === undefined) return reason;
  if (target === actor) return "self";
  const user = await readUser(ctx, target);
  if (user === null || !isAdmin(user)) return null;
  const leaving = new Set([target, ...(await beingRemoved(ctx))]);
  for await (const other of possibleAdmins(ctx)) {
    if (isAdmin(other) && !leaving.has(other.clerkId)) return null;
  }
  return "last_admin";
}

async function beingRemoved(ctx: MutationCtx): Promise<string[]> {
  const open = await ctx.db
    .query("clerkAudit")
    .withIndex("by_outcome", (q) => q.eq("outcome", "started").gt("_creationTime", Date.now() - OPEN_MS))
    .collect();
  return open.flatMap(({ removesAdmin, clerkId }) => (removesAdmin && clerkId !== undefined ? [clerkId] : []));
}

function messageOf(reason: Refusal): string {
  if (reason === "self") return "You cannot take away your own administration. Ask another administrator.";
  if (reason === "last_admin") return "This is the last active administrator. Make someone else one first.";
  return accessMessage(reason);
}
