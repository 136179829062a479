// Keeps the progress of backfills, so that a backfill that was killed can be resumed from any machine. Nothing here
// reads or writes users.
import type { Doc, Id } from "../../_generated/dataModel";
import type { MutationCtx } from "../../_generated/server";
import { addEntry } from "../audit/entries";
import type { BackfillProgress, Verified } from "../tables";

const SILENT_MS = 60 * 1000; // a run without a heartbeat for this time counts as ended
const EXPIRES_MS = 20 * 60 * 60 * 1000; // an older run is not resumed: a nightly run begins anew, whichever second cron starts it at
const KEPT = 10; // finished runs that are kept, the newest

type Run = Doc<"clerkBackfills">;
type Wanted = { options: string; restart: boolean; holder: string };

// Returns the run to resume, or a new one. A run can be resumed if it has the same options, has not expired and is
// silent. Only the process that has the newest `attempt` of a run may write to it. If the answer was lost and the call
// is repeated, it returns the same run.
export async function startRun(ctx: MutationCtx, { options, restart, holder }: Wanted) {
  const now = Date.now();
  const open = (await ctx.db.query("clerkBackfills").collect()).filter((run) => run.finishedAt === undefined);
  const mine = open.find((run) => run.holder === holder);
  const isAlive = (run: Run) => run.options === options && run.heartbeatAt > now - SILENT_MS;
  if (mine !== undefined) {
    const { _id: id, attempt, startedAt, progress } = mine;
    return { id, attempt, startedAt, progress, ...(attempt === 1 && { isBeside: open.some((run) => run !== mine && isAlive(run)) }) };
  }
  const silent = open.filter((run) => run.heartbeatAt <= now - SILENT_MS);
  const resumable = silent.filter((run) => run.options === options && run.startedAt > now - EXPIRES_MS);
  const resumed = restart ? undefined : resumable[resumable.length - 1];
  for (const run of silent) {
    const isAbandoned = run.startedAt <= now - EXPIRES_MS || resumable.includes(run);
    if (run !== resumed && isAbandoned) await close(ctx, run);
  }
  await dropOldRuns(ctx);
  if (resumed !== undefined) {
    const { _id: id, startedAt, progress } = resumed;
    const attempt = resumed.attempt + 1;
    await ctx.db.patch("clerkBackfills", id, { attempt, holder, heartbeatAt: now });
    return { id, attempt, startedAt, progress };
  }
  const run = { options, holder, attempt: 1, startedAt: now, heartbeatAt: now, progress: null };
  const id = await ctx.db.insert("clerkBackfills", run);
  return { id, attempt: 1, startedAt: now, progress: null, isBeside: open.some(isAlive) };
}

// A run as the process that holds it names it.
type HeldRun = { id: Id<"clerkBackfills">; attempt: number };

// Saves the progress, if there is any, and a heartbeat. Returns false if another process has taken the run over.
export async function saveRun(ctx: MutationCtx, held: HeldRun, progress: BackfillProgress | null, release: boolean) {
  const run = await readHeld(ctx, held);
  if (run === null) return false;
  await ctx.db.patch("clerkBackfills", run._id, {
    ...(progress !== null && { progress }),
    heartbeatAt: release ? 0 : Date.now(), // a released run counts as silent, so it can be resumed immediately
  });
  return true;
}

// Saves the progress and closes the run. Returns false if another process has taken the run over.
export async function finishRun(ctx: MutationCtx, held: HeldRun, progress: BackfillProgress) {
  const run = await readHeld(ctx, held);
  if (run === null) return false;
  await close(ctx, { ...run, progress });
  return true;
}

// Saves the numbers of a comparison with Clerk beside the last finished run. The nightly run calls it, so there is one.
export async function saveVerified(ctx: MutationCtx, verified: Verified): Promise<void> {
  const runs = await ctx.db.query("clerkBackfills").order("desc").collect();
  const last = runs.find((run) => run.finishedAt !== undefined);
  if (last !== undefined) await ctx.db.patch("clerkBackfills", last._id, { verified, verifiedAt: Date.now() });
}

// Returns the run, or null if it is finished or another process has taken it over.
async function readHeld(ctx: MutationCtx, { id, attempt }: HeldRun): Promise<Run | null> {
  const run = await ctx.db.get("clerkBackfills", id);
  return run !== null && run.attempt === attempt && run.finishedAt === undefined ? run : null;
}

// Closes a run, and writes one entry in the audit log for all users that it created.
async function close(ctx: MutationCtx, { _id, progress }: Run): Promise<void> {
  await ctx.db.patch("clerkBackfills", _id, { progress, finishedAt: Date.now() });
  const count = progress?.counts.created ?? 0;
  if (count > 0) await addEntry(ctx, { outcome: "created", count, fields: [], source: "backfill" });
}

async function dropOldRuns(ctx: MutationCtx): Promise<void> {
  const runs = await ctx.db.query("clerkBackfills").order("desc").collect();
  const finished = runs.filter((run) => run.finishedAt !== undefined);
  for (const run of finished.slice(KEPT)) await ctx.db.delete("clerkBackfills", run._id);
}
