// The result of one call of a function.
import type { JSONValue } from "convex/values";

// As the name of a table that a commit wrote: all queries must run again, because the functions have changed.
export const EVERY_QUERY = "*";

export type Outcome =
  | {
      ok: true;
      value: JSONValue; // convex-encoded JSON
      logLines: string[];
      journal: string | null; // null unless a query read pages; see journal.ts
      reads: Set<string>; // names of tables
      writes: Set<string>; // names of tables; for an action, those of all mutations that it ran
      snapshot: number; // the number of the last commit that its transaction saw
    }
  | {
      ok: false;
      errorMessage: string; // in Convex's words, without the line "[Request ID: …] Server Error"
      errorData?: JSONValue; // the data of a ConvexError, convex-encoded
      logLines: string[];
      reads: Set<string>;
      snapshot?: number;
    };
