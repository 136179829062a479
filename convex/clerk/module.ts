// Names the module of the functions and the table of the users. `clerk-convex init --module … --table …` writes another
// name here and nowhere else.
import { internal } from "../_generated/api";
import type { Doc, Id } from "../_generated/dataModel";

// The table of the users.
export const USERS = "users" as const;

// A row of that table, and its id.
export type User = Doc<typeof USERS>;
export type UserId = Id<typeof USERS>;

// Returns the functions that other functions and crons.ts schedule. (This is a function, because the type of a constant
// would depend on itself.)
export function functions() {
  return internal.users;
}
