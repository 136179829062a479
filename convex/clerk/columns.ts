// A team's own columns of the users table: one line each, the validator not optional.
//
//   export const extraColumns = { plan: v.string() };
//
// CLERK_CONVEX_FIELDS names the Python function that fills them from a Clerk user. All of them are optional in
// the table, because users who were written before have none.
import type { GenericValidator } from "convex/values";

export const extraColumns = {} satisfies Record<string, GenericValidator>;

// Those that a users table from before requires. The Python function must give each a value for every user: a user
// without one is refused.
export const requiredExtraColumns = {} satisfies Record<string, GenericValidator>;
