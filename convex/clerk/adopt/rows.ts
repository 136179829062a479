// Links the rows of a table that existed before to Clerk ids, and says when the tight table takes them.
//
// Rows keep their ids and the team's columns. A link is never replaced. The next change of the user, or the backfill,
// fills the row.
import { v, type Infer } from "convex/values";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { addEntry, entryOf } from "../audit/entries";
import { ownColumns } from "../columns";
import { USERS, type User } from "../module";
import { onUserChange } from "../onUserChange";
import { readVersion, usersOf } from "../state";
import { clerkTables, type Row } from "../tables";
import { countMoves } from "../users/stats";
import type { Move } from "../users/tally";
import { isWhole, problemsOf } from "./whole";

const SCANNED = 500; // rows that one query reads
const LINKED = 100; // rows that one mutation links
const ENTRIES = 100; // entries of the audit log of one user that are read

export const looseRows = v.object({
  rows: v.array(v.object({ id: v.id(USERS), value: v.nullable(v.string()) })), // value: null unless it is a text
  cursor: v.nullable(v.string()),
});

export const links = v.array(v.object({ id: v.id(USERS), clerkId: v.string() }));

export const adoption = v.union(
  v.literal("linked"),
  v.literal("merged"), // a later row of the user, which these functions had created, is now part of this one
  v.literal("unchanged"), // it was linked to this Clerk id before
  v.literal("other"), // it is linked to another Clerk id, and stays so
  v.literal("taken"), // another row is linked to this Clerk id
  v.literal("deleted"), // the user was deleted
  v.literal("gone"), // there is no such row any more
);

export const checkedRows = v.object({
  rows: v.number(),
  refused: v.array(v.object({ id: v.id(USERS), clerkId: v.nullable(v.string()), problems: v.array(v.string()) })),
  cursor: v.nullable(v.string()),
});

type Links = Infer<typeof links>;
type Adoption = Infer<typeof adoption>;
type Decision = { outcome: Adoption; row: User | null; existing?: User };

// Returns the next rows without a Clerk id, with the text that each has in a column. The cursor is null before the first
// rows and after the last.
export async function readLooseRows(ctx: QueryCtx, column: string, cursor: string | null) {
  const { page, isDone, continueCursor } = await ctx.db
    .query(USERS)
    // A missing value and all that is no text sort before the empty text.
    .withIndex("by_clerk_id", (q) => q.lte("clerkId", ""))
    .paginate({ numItems: SCANNED, cursor });
  const rows = page.map((row) => {
    const value: unknown = (row as Record<string, unknown>)[column];
    return { id: row._id, value: typeof value === "string" ? value : null };
  });
  return { rows, cursor: isDone ? null : continueCursor };
}

// Links rows to Clerk ids, and returns what became of each.
export async function adoptRows(ctx: MutationCtx, wanted: Links): Promise<Adoption[]> {
  checkLength(wanted);
  const outcomes: Adoption[] = [];
  const moves: Move[] = [];
  for (const link of wanted) {
    const decision = await decide(ctx, link);
    outcomes.push(decision.outcome);
    moves.push(...(await write(ctx, decision, link.clerkId)));
  }
  await countMoves(ctx, moves);
  return outcomes;
}

// Returns the outcomes that adoptRows would return, and writes nothing.
export async function compareAdoption(ctx: QueryCtx, wanted: Links): Promise<Adoption[]> {
  checkLength(wanted);
  return await Promise.all(wanted.map(async (link) => (await decide(ctx, link)).outcome));
}

// Returns which of the next rows the tight table would refuse, and why.
export async function checkRows(ctx: QueryCtx, cursor: string | null): Promise<Infer<typeof checkedRows>> {
  const { page, isDone, continueCursor } = await ctx.db.query(USERS).paginate({ numItems: SCANNED, cursor });
  const checked = page.map((row) => ({
    id: row._id,
    clerkId: isLinked(row) ? row.clerkId : null,
    problems: problemsOf(row),
  }));
  return {
    rows: page.length,
    refused: checked.filter(({ problems }) => problems.length > 0),
    cursor: isDone ? null : continueCursor,
  };
}

function checkLength(wanted: Links): void {
  if (wanted.length > LINKED) throw new Error(`links has ${wanted.length} rows: send at most ${LINKED}.`);
}

function isLinked(row: User): boolean {
  return typeof row.clerkId === "string" && row.clerkId !== "";
}

async function decide(ctx: QueryCtx, { id, clerkId }: Links[number]): Promise<Decision> {
  const row = await ctx.db.get(USERS, id);
  if (row === null) return { outcome: "gone", row };
  if (isLinked(row)) return { outcome: row.clerkId === clerkId ? "unchanged" : "other", row };
  const [version, [existing, another]] = await Promise.all([readVersion(ctx, clerkId), usersOf(ctx, clerkId).take(2)]);
  if (version?.deletedAt !== undefined) return { outcome: "deleted", row };
  if (existing === undefined) return { outcome: "linked", row };
  const isOurs = another === undefined && existing._creationTime > row._creationTime && (await isCreated(ctx, existing));
  return isOurs ? { outcome: "merged", row, existing } : { outcome: "taken", row };
}

// Returns whether these functions have created a row, and not a team: it has nothing of the team's, and was not adopted.
async function isCreated(ctx: QueryCtx, row: User): Promise<boolean> {
  const values: Record<string, unknown> = row;
  if (!isWhole(row) || Object.keys(ownColumns).some((name) => values[name] !== undefined)) return false;
  const entries = await ctx.db
    .query("clerkAudit")
    .withIndex("by_clerk_id", (q) => q.eq("clerkId", row.clerkId))
    .take(ENTRIES);
  return !entries.map(entryOf).some(({ outcome, fields }) => outcome === "updated" && fields.includes("clerkId"));
}

async function write(ctx: MutationCtx, { outcome, row, existing }: Decision, clerkId: string): Promise<Move[]> {
  if (row === null || (outcome !== "linked" && outcome !== "merged")) return [];
  // A row that was linked to another user before may have a stamp.
  const patch = { clerkStamp: undefined, ...(existing && contentOf(existing)), clerkId };
  const moves: Move[] = [{ clerkId, before: row, after: { ...row, ...patch } }];
  if (existing === undefined) {
    // What is left of a row that somebody deleted by hand. The next change counts as the first, and fills this row.
    const version = await readVersion(ctx, clerkId);
    if (version !== null) await ctx.db.delete("clerkVersions", version._id);
  } else {
    await ctx.db.delete(USERS, existing._id);
    moves.push({ clerkId, before: existing, after: null });
  }
  await ctx.db.patch(USERS, row._id, patch);
  await addEntry(ctx, { outcome: "updated", clerkId, fields: ["clerkId"], source: "manual" });
  if (existing !== undefined) {
    await addEntry(ctx, { outcome: "merged", clerkId, fields: [], source: "manual" });
    await onUserChange(ctx, { outcome: "merged", clerkId, userId: row._id, before: existing, source: "manual" });
  }
  return moves;
}

// Returns all columns of a row but the team's. undefined unsets a column in the row that takes them over.
function contentOf(row: User): Partial<Row> {
  const names = Object.keys(clerkTables[USERS].validator.fields).filter((name) => !(name in ownColumns));
  return Object.fromEntries(names.map((name) => [name, (row as Record<string, unknown>)[name]]));
}
