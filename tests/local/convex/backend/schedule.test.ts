import assert from "node:assert/strict";
import { test } from "node:test";

import { nextRun, runAt, type Schedule } from "../../../../clerk_convex/local/convex/backend/schedule.ts";
import { eventually, makeProject, startEngine, value } from "./helpers.ts";

const at = (text: string): number => Date.parse(`${text}Z`);

test("the next run of a schedule is the first time after now that it names, in UTC", () => {
  const start = at("2026-01-01T00:00:30");
  const cases: [Schedule, string, string | null][] = [
    [{ type: "interval", seconds: 10 }, "2026-01-01T00:00:30", "2026-01-01T00:00:40"],
    [{ type: "interval", minutes: 5 }, "2026-01-01T01:00:29", "2026-01-01T01:00:30"],
    [{ type: "interval", hours: 2 }, "2026-01-01T02:00:30", "2026-01-01T04:00:30"],
    [{ type: "hourly", minuteUTC: 15 }, "2026-01-01T10:14:59", "2026-01-01T10:15:00"],
    [{ type: "hourly", minuteUTC: 15 }, "2026-01-01T10:15:00", "2026-01-01T11:15:00"],
    [{ type: "hourly" }, "2026-01-01T10:15:00", "2026-01-01T11:00:00"],
    [{ type: "daily", hourUTC: 3, minuteUTC: 30 }, "2026-02-28T03:30:00", "2026-03-01T03:30:00"],
    [{ type: "daily", hourUTC: 3 }, "2026-02-28T02:59:59", "2026-02-28T03:00:00"],
    [
      { type: "weekly", dayOfWeek: "sunday", hourUTC: 0, minuteUTC: 1 },
      "2026-11-22T00:01:00",
      "2026-11-29T00:01:00",
    ],
    [{ type: "weekly", dayOfWeek: "thursday", hourUTC: 12 }, "2026-11-22T00:00:00", "2026-11-26T12:00:00"],
    [{ type: "weekly", dayOfWeek: "monday", hourUTC: 12 }, "2026-11-22T00:00:00", "2026-11-23T12:00:00"],
    [{ type: "monthly", day: 1, hourUTC: 0 }, "2026-12-01T00:00:00", "2027-01-01T00:00:00"],
    [{ type: "monthly", day: 31, hourUTC: 5, minuteUTC: 5 }, "2026-01-31T05:05:00", "2026-03-31T05:05:00"],
    [{ type: "monthly", day: 29, hourUTC: 0 }, "2027-02-01T00:00:00", "2027-03-29T00:00:00"],
    [{ type: "cron", cron: "* * * * *" }, "2026-01-01T00:00:00", null],
  ];
  for (const [schedule, now, next] of cases) {
    const found = nextRun(schedule, start, at(now));
    assert.equal(
      found && new Date(found).toISOString(),
      next && new Date(at(next)).toISOString(),
      JSON.stringify(schedule),
    );
  }
});

test("a timer fires at its time, and not before", async () => {
  let now = 0;
  let ran = false;
  runAt(
    15,
    () => now,
    () => {
      ran = true;
    },
  );
  await new Promise((resolve) => setTimeout(resolve, 40));
  assert.equal(ran, false);
  now = 15;
  await eventually(() => ran);
});

const CRONS = {
  "schema.ts": `
    import { defineSchema, defineTable } from "convex/server";
    import { v } from "convex/values";
    export default defineSchema({ log: defineTable({ key: v.string() }) });`,
  "jobs.ts": `
    import { actionGeneric as action, anyApi, internalMutationGeneric as internalMutation, queryGeneric as query } from "convex/server";
    export const note = internalMutation(async (ctx, { key }: { key: string }) => void (await ctx.db.insert("log", { key })));
    export const log = query(async (ctx) => (await ctx.db.query("log").collect()).map(({ key }) => key));
    const running: Record<string, number> = {};
    export const slow = action(async (ctx, { key, ms }: { key: string; ms: number }) => {
      running[key] = (running[key] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, ms));
      await ctx.runMutation(anyApi.jobs!.note as any, { key: key + running[key] });
      running[key] -= 1;
    });`,
  "crons.ts": `
    import { anyApi, cronJobs } from "convex/server";
    const crons = cronJobs();
    crons.interval("often", { seconds: 1 }, anyApi.jobs!.slow as any, { key: "often", ms: 250 });
    crons.daily("prune", { hourUTC: 3, minuteUTC: 30 }, anyApi.jobs!.slow as any, { key: "prune", ms: 30 });
    crons.cron("string", "* * * * *", anyApi.jobs!.note as any, { key: "string" });
    export default crons;`,
};

test("cron jobs are listed, run when they are due and on demand, one run of each at a time", async () => {
  const start = performance.now();
  // Ten times as fast as the wall.
  const now = (): number => at("2026-01-01T00:00:00") + (performance.now() - start) * 10;
  const engine = await startEngine({ functionsDir: makeProject(CRONS), now });
  const listed = engine.crons();
  assert.deepEqual(
    listed.map(({ name, path, schedule }) => [name, path, schedule]),
    [
      ["often", "jobs:slow", "interval 1"],
      ["prune", "jobs:slow", "daily 3 30"],
      ["string", "jobs:note", "cron * * * * *"],
    ],
  );
  assert.equal(listed[1]?.nextRun, at("2026-01-01T03:30:00"));
  assert.equal(listed[2]?.nextRun, null);
  await eventually(async () => (await value(engine, "jobs:log")).length >= 2);
  assert.ok((engine.crons()[0]?.nextRun ?? 0) > (listed[0]?.nextRun ?? 0));
  assert.deepEqual(new Set(await value(engine, "jobs:log")), new Set(["often1"]));
  await engine.close();
  const outcomes = await Promise.all([
    engine.runCron("prune"),
    engine.runCron("prune"),
    engine.runCron("prune"),
  ]);
  assert.ok(outcomes.every(({ ok }) => ok));
  const pruned = ((await value(engine, "jobs:log")) as string[]).filter((key) => key.startsWith("prune"));
  assert.deepEqual(pruned, ["prune1", "prune1", "prune1"]);
  await assert.rejects(engine.runCron("none"), {
    message: 'There is no cron job "none". convex/crons.ts has: often, prune, string.',
  });
});
