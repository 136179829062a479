// Writes entries of the audit log, small, and reads them as they were before.
//
// An admin's action and the change that it made are one entry. The service writes the change and names the entry of the
// action. Often the webhook of the same change comes first: then the action takes the entry of the webhook over.
import { v, type Infer } from "convex/values";
import type { Doc, Id } from "../../_generated/dataModel";
import type { MutationCtx, QueryCtx } from "../../_generated/server";
import { auditColumns, type AuditOutcome } from "../tables";

const columns = v.object(auditColumns);
export const auditEntry = columns.extend({ _id: v.id("clerkAudit"), _creationTime: v.number() });

export type Columns = Infer<typeof columns>;
export type Entry = Infer<typeof auditEntry>;
type Row = Doc<"clerkAudit">;
type Change = Pick<Columns, "clerkId" | "fields" | "source" | "eventId" | "actor"> & {
  outcome: "created" | "updated" | "deleted";
  clerkId: string;
};

// Outcomes of changes that are rare, and that admins and operators look for. clerkActions lists them too.
const RARE: ReadonlySet<AuditOutcome> = new Set(["reset", "merged"]);

// Returns an entry with the columns that the table leaves out.
export function entryOf(row: Row): Entry {
  const { outcome = "created", fields = [], source = "webhook", ...rest } = row;
  // Earlier versions called an action failed whose end nobody recorded.
  if (outcome === "failed" && rest.reason === "unknown") return { ...rest, outcome: "unknown", fields, source, reason: undefined };
  return { ...rest, outcome, fields, source };
}

// Inserts an entry.
export async function addEntry(ctx: MutationCtx, entry: Columns): Promise<Id<"clerkAudit">> {
  const id = await ctx.db.insert("clerkAudit", compact(entry));
  if (isListed(entry)) await list(ctx, entryOf((await ctx.db.get("clerkAudit", id))!));
  return id;
}

// Changes an entry.
export async function changeEntry(ctx: MutationCtx, id: Id<"clerkAudit">, patch: Partial<Columns>): Promise<void> {
  await ctx.db.patch("clerkAudit", id, compact(patch));
  const listed = await readListed(ctx, id);
  const names = ["outcome", "actor", "requestId"] as const;
  const changed = Object.fromEntries(names.filter((name) => name in patch).map((name) => [name, patch[name]]));
  if (listed !== null && Object.keys(changed).length > 0) await ctx.db.patch("clerkActions", listed._id, changed);
}

export async function removeEntry(ctx: MutationCtx, row: Row): Promise<void> {
  await ctx.db.delete("clerkAudit", row._id);
  const listed = isListed(entryOf(row)) ? await readListed(ctx, row._id) : null;
  if (listed !== null) await ctx.db.delete("clerkActions", listed._id);
}

// Records a change that was applied: in the entry of the action that made it, or in one of its own.
export async function addChange(ctx: MutationCtx, change: Change, actionId?: Id<"clerkAudit">): Promise<void> {
  const action = await readAction(ctx, actionId, change.clerkId);
  if (action === null) await addEntry(ctx, change);
  else await changeEntry(ctx, action._id, made(change));
}

// Lets an action take the change over that it has made and that a webhook has brought sooner: the user's last entry, if
// it is younger than the action. `isSame` says whether that change left the user as the action did.
export async function takeOver(
  ctx: MutationCtx,
  clerkId: string,
  actionId: Id<"clerkAudit">,
  isSame: (outcome: AuditOutcome) => boolean,
): Promise<void> {
  const action = await readAction(ctx, actionId, clerkId);
  if (action === null) return;
  const last = await ctx.db
    .query("clerkAudit")
    .withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId).gt("_creationTime", action._creationTime))
    .order("desc")
    .first();
  const entry = last && entryOf(last);
  if (entry === null || entry.source !== "webhook" || !isSame(entry.outcome)) return;
  await changeEntry(ctx, action._id, { ...made({ ...entry, clerkId } as Change), eventId: entry.eventId });
  await removeEntry(ctx, last!);
}

// Returns the columns that an action gets from the change that it has made.
function made({ clerkId, outcome, fields }: Change): Partial<Columns> {
  return { clerkId, change: outcome, fields };
}

// Returns the entry of an action that has made no change yet, if it is about this user or has created one.
async function readAction(ctx: QueryCtx, id: Id<"clerkAudit"> | undefined, clerkId: string): Promise<Row | null> {
  const row = id === undefined ? null : await ctx.db.get("clerkAudit", id);
  const isOpen = row?.action !== undefined && row.change === undefined;
  return isOpen && (row.clerkId === undefined || row.clerkId === clerkId) ? row : null;
}

// Returns whether clerkActions has a document of an entry.
export function isListed({ actor, outcome }: Pick<Columns, "actor" | "outcome">): boolean {
  return actor !== undefined || RARE.has(outcome);
}

// Writes the document of an entry in clerkActions.
export async function list(ctx: MutationCtx, { _id, _creationTime, outcome, actor, action, requestId }: Entry) {
  const document = { entry: _id, at: _creationTime, outcome, actor, action, requestId };
  const known = await readListed(ctx, _id);
  if (known === null) await ctx.db.insert("clerkActions", document);
  else await ctx.db.replace("clerkActions", known._id, document);
}

async function readListed(ctx: QueryCtx, entry: Id<"clerkAudit">) {
  return await ctx.db
    .query("clerkActions")
    .withIndex("by_entry", (q) => q.eq("entry", entry))
    .first();
}

// Leaves out what entryOf puts back.
function compact<Some extends Partial<Columns>>(entry: Some) {
  return {
    ...entry,
    ...(entry.outcome === "created" && { outcome: undefined }),
    ...(entry.source === "webhook" && { source: undefined }),
    ...(entry.fields?.length === 0 && { fields: undefined }),
  };
}
