import type { Doc, Id } from "../_generated/dataModel";
import type { MutationCtx } from "../_generated/server";
import type { Source } from "./tables";

export type UserChange = {
  // merged: `before` was a second row of the user and is removed; what refers to it belongs to `userId`.
  outcome: "created" | "updated" | "deleted" | "merged";
  clerkId: string;
  userId: Id<"users"> | null; // of the row; null for a deletion that found none
  before: Doc<"users"> | null;
  source: Source;
};

// A team's own logic that must not be lost. It runs in the transaction of each change that was applied: both are
// committed, or neither. Whatever it throws refuses the change.
// eslint-disable-next-line @typescript-eslint/no-unused-vars -- empty by default
export async function onUserChange(ctx: MutationCtx, change: UserChange): Promise<void> {}
