import type { Doc, Id } from "../_generated/dataModel";
import type { MutationCtx } from "../_generated/server";

export type UserChange = {
  outcome: "created" | "updated" | "deleted";
  clerkId: string;
  userId: Id<"users"> | null; // of the row; null for a deletion that found none
  before: Doc<"users"> | null;
  source: "webhook" | "backfill" | "admin" | "manual";
};

// A team's own logic that must not be lost. It runs in the transaction of each change that was applied: both are
// committed, or neither. Whatever it throws refuses the change.
// eslint-disable-next-line @typescript-eslint/no-unused-vars -- empty by default
export async function onUserChange(ctx: MutationCtx, change: UserChange): Promise<void> {}
