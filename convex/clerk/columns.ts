// The team's own columns of the users table: one line each, with a validator that is not optional.
//
//   export const extraColumns = { plan: v.string() };
//
// CLERK_CONVEX_FIELDS names the Python function that fills them from a Clerk user. In the table they are optional,
// because rows that were written earlier do not have them.
import type { GenericValidator } from "convex/values";

export const extraColumns = {} satisfies Record<string, GenericValidator>;

// The team's own columns that an existing users table requires. The Python function must give each of them a value for
// every user; a user without one is refused.
export const requiredExtraColumns = {} satisfies Record<string, GenericValidator>;

// The columns of an existing users table that Clerk does not fill, with the validators that the table has. They are
// never changed. A user who signs up later has none of them, so each is optional.
//
//   export const ownColumns = { plan: v.optional(v.string()) };
export const ownColumns = {} satisfies Record<string, GenericValidator>;
