// Returns what `clerk-convex status` prints, in one query.
import { v, type Infer } from "convex/values";
import type { Doc } from "../../_generated/dataModel";
import type { QueryCtx } from "../../_generated/server";
import { isAdmin, possibleAdmins } from "../access";
import { isWhole } from "../adopt/whole";
import { lastFollow, readLastFollow } from "../backfill/follow";
import { verified } from "../tables";
import { readStats, usersStats } from "../users/stats";
import { latestRefusals, readLatest } from "./refusals";
import { lastWebhookAt } from "./webhook";

export const status = v.object({
  now: v.number(), // this time and all others are by Convex's clock
  users: usersStats.omit("days"),
  hasActiveAdmin: v.boolean(),
  lastWebhookAt: v.nullable(v.number()), // when a webhook last changed a row, or up to a minute before
  lastBackfill: v.nullable(
    v.object({
      startedAt: v.number(),
      heartbeatAt: v.number(),
      finishedAt: v.nullable(v.number()),
      counts: v.record(v.string(), v.number()), // numbers of users by outcome
    }),
  ),
  lastFinishedBackfillAt: v.nullable(v.number()),
  lastFollow: v.nullable(lastFollow),
  lastVerification: v.nullable(verified.extend({ at: v.number() })), // by the nightly run
  refusals: latestRefusals,
});

export async function readStatus(ctx: QueryCtx): Promise<Infer<typeof status>> {
  const runs = await ctx.db.query("clerkBackfills").order("desc").collect(); // there are few
  const finished = runs.flatMap(({ finishedAt }) => finishedAt ?? []);
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- names the field to omit
  const { days, ...users } = await readStats(ctx);
  return {
    now: Date.now(),
    users,
    hasActiveAdmin: await hasActiveAdmin(ctx),
    lastWebhookAt: await lastWebhookAt(ctx),
    lastBackfill: runs[0] === undefined ? null : shown(runs[0]),
    lastFinishedBackfillAt: finished.length === 0 ? null : Math.max(...finished),
    lastFollow: await readLastFollow(ctx),
    lastVerification: runs.flatMap(verification)[0] ?? null,
    refusals: await readLatest(ctx),
  };
}

async function hasActiveAdmin(ctx: QueryCtx): Promise<boolean> {
  for await (const user of possibleAdmins(ctx)) if (isWhole(user) && isAdmin(user)) return true;
  return false;
}

function shown({ startedAt, heartbeatAt, finishedAt, progress }: Doc<"clerkBackfills">) {
  return { startedAt, heartbeatAt, finishedAt: finishedAt ?? null, counts: progress?.counts ?? {} };
}

function verification({ verified, verifiedAt }: Doc<"clerkBackfills">) {
  return verified === undefined || verifiedAt === undefined ? [] : [{ ...verified, at: verifiedAt }];
}
