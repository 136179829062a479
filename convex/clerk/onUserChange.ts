import type { MutationCtx } from "../_generated/server";
import type { User, UserId } from "./module";
import type { AppliedOutcome, Source } from "./tables";

export type UserChange = {
  // merged: `before` was a second row of the user and is removed. What refers to it belongs to `userId` now.
  outcome: AppliedOutcome | "merged"; // AppliedOutcome: "created", "updated" or "deleted"
  clerkId: string;
  userId: UserId | null; // the id of the row; null: a deletion of a user who had no row
  before: User | null; // the row before the change
  source: Source;
};

// Runs the team's own logic in the transaction of each applied change: both are committed, or neither. If it throws,
// the change is refused.
// eslint-disable-next-line @typescript-eslint/no-unused-vars -- empty by default
export async function onUserChange(ctx: MutationCtx, change: UserChange): Promise<void> {}
