// Functions that scripts/smoke deploys beside those of the package. They look into the deployment and clean it up.
import { v } from "convex/values";
import { internalMutation, internalQuery } from "./_generated/server";
import crons from "./crons";
import schema from "./schema";

type Table = keyof typeof schema.tables;

const TABLES = Object.keys(schema.tables) as Table[];
const BATCH = 200; // documents that one transaction deletes

// Returns the names of the tables that have rows.
export const occupied = internalQuery({
  args: {},
  returns: v.array(v.string()),
  handler: async (ctx): Promise<string[]> => {
    const first = await Promise.all(TABLES.map((table) => ctx.db.query(table).first()));
    return TABLES.filter((_, index) => first[index] !== null);
  },
});

// Deletes a batch of rows of all tables, and returns their number.
export const clear = internalMutation({
  args: {},
  returns: v.number(),
  handler: async (ctx): Promise<number> => {
    let deleted = 0;
    for (const table of TABLES) {
      for (const row of await ctx.db.query(table).take(BATCH - deleted)) {
        await ctx.db.delete(table, row._id);
        deleted += 1;
      }
    }
    return deleted;
  },
});

// Returns the names of the cron jobs that were deployed.
export const cronJobs = internalQuery({
  args: {},
  returns: v.array(v.string()),
  handler: async (): Promise<string[]> => {
    const exported = (crons as unknown as { export(): string }).export(); // not in the types: Convex's CLI calls it
    return Object.keys(JSON.parse(exported) as object);
  },
});

// Asks the cron job of this file for a sign of life.
export const askForTick = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx): Promise<null> => {
    await ctx.db.insert("smokeTicks", { ticked: false });
    return null;
  },
});

// The cron job. It writes only after it was asked.
export const tick = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx): Promise<null> => {
    const asked = await ctx.db.query("smokeTicks").take(BATCH);
    for (const { _id, ticked } of asked) if (!ticked) await ctx.db.patch("smokeTicks", _id, { ticked: true });
    return null;
  },
});

export const ticked = internalQuery({
  args: {},
  returns: v.boolean(),
  handler: async (ctx): Promise<boolean> => (await ctx.db.query("smokeTicks").take(BATCH)).some((row) => row.ticked),
});

// Returns whether a backfill that has not ended has saved a position.
export const backfillIsHalfway = internalQuery({
  args: {},
  returns: v.boolean(),
  handler: async (ctx): Promise<boolean> => {
    const runs = await ctx.db.query("clerkBackfills").collect();
    const open = runs.filter((run) => run.finishedAt === undefined);
    return open.some((run) => (run.progress?.ranges ?? []).some((range) => range.position !== null));
  },
});
