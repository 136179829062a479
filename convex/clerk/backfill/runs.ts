// Where a backfill is, so that a killed one goes on from any machine. Nothing here touches users.
import type { Doc, Id } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { recordChange } from "../audit/log";
import type { BackfillProgress } from "../tables";

const SILENT_MS = 60 * 1000; // a run that was not heard of for so long has ended
const EXPIRES_MS = 24 * 60 * 60 * 1000; // after which a run is not gone on with
const KEPT = 10; // the newest runs

type Run = Doc<"clerkBackfills">;

// The run to go on with (same options, young enough, and silent), or a new one. `attempt` says whose it is now.
export async function startRun(ctx: MutationCtx, options: string, restart: boolean) {
  const now = Date.now();
  const open = (await ctx.db.query("clerkBackfills").collect()).filter((run) => run.finishedAt === undefined);
  const silent = open.filter((run) => run.heartbeatAt <= now - SILENT_MS);
  const resumable = silent.filter((run) => run.options === options && run.startedAt > now - EXPIRES_MS);
  const resumed = restart ? undefined : resumable[resumable.length - 1];
  for (const run of silent) {
    const isGivenUp = run.startedAt <= now - EXPIRES_MS || resumable.includes(run);
    if (run !== resumed && isGivenUp) await close(ctx, run);
  }
  await dropOldRuns(ctx);
  if (resumed !== undefined) {
    const { _id: id, startedAt, progress } = resumed;
    const attempt = resumed.attempt + 1;
    await ctx.db.patch("clerkBackfills", id, { attempt, heartbeatAt: now });
    return { id, attempt, startedAt, progress };
  }
  const run = { options, attempt: 1, startedAt: now, heartbeatAt: now, progress: null };
  const id = await ctx.db.insert("clerkBackfills", run);
  const isBeside = open.some((other) => other.options === options && !silent.includes(other));
  return { id, attempt: 1, startedAt: now, progress: null, isBeside };
}

type Mine = { id: Id<"clerkBackfills">; attempt: number };

// Keeps a position. False if the run is not the caller's any more: another one goes on with it.
export async function saveRun(ctx: MutationCtx, mine: Mine, progress: BackfillProgress | null, release: boolean) {
  const run = await readMine(ctx, mine);
  if (run === null) return false;
  await ctx.db.patch("clerkBackfills", run._id, {
    ...(progress !== null && { progress }),
    heartbeatAt: release ? 0 : Date.now(), // released: whoever starts next need not wait
  });
  return true;
}

export async function finishRun(ctx: MutationCtx, mine: Mine, progress: BackfillProgress) {
  const run = await readMine(ctx, mine);
  if (run === null) return false;
  await close(ctx, { ...run, progress });
  return true;
}

// When the last webhook arrived that changed a row.
export async function lastWebhookAt(ctx: QueryCtx): Promise<number | null> {
  const rows = ctx.db.query("clerkAudit").withIndex("by_source", (q) => q.eq("source", "webhook"));
  return (await rows.order("desc").first())?._creationTime ?? null;
}

async function readMine(ctx: MutationCtx, { id, attempt }: Mine): Promise<Run | null> {
  const run = await ctx.db.get("clerkBackfills", id);
  return run !== null && run.attempt === attempt && run.finishedAt === undefined ? run : null;
}

// One row in the audit log for all whom the run has created.
async function close(ctx: MutationCtx, { _id, progress }: Run): Promise<void> {
  await ctx.db.patch("clerkBackfills", _id, { progress, finishedAt: Date.now() });
  const count = progress?.counts.created ?? 0;
  if (count > 0) await recordChange(ctx, { outcome: "created", count, fields: [], source: "backfill" });
}

async function dropOldRuns(ctx: MutationCtx): Promise<void> {
  const runs = await ctx.db.query("clerkBackfills").order("desc").collect();
  const finished = runs.filter((run) => run.finishedAt !== undefined);
  for (const run of finished.slice(KEPT)) await ctx.db.delete("clerkBackfills", run._id);
}
