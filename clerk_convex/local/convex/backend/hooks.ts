// Hooks into convex-test's database: observes reads and commits, checks documents, and extends system calls.
import { getConvexSize, jsonToConvex, type JSONValue, type Value } from "convex/values";

import type { ConvexGlobal, Database, Internals, Schema } from "./database.ts";
import { canonicalPath } from "./functions.ts";
import { noComponent } from "./errors.ts";
import { JOBS } from "./jobs.ts";
import { journaledPage } from "./journal.ts";
import { checkDocument } from "./limits.ts";
import { frames } from "./runtime.ts";
import { mismatch, tableOf, type ValidatorJSON } from "./validators.ts";

// Records the tables that a call reads, and reports the ids of the documents in each commit.
export function observe(database: Database, committed: (ids: string[]) => void): void {
  const get = database.get.bind(database);
  const iterateDocs = database._iterateDocs.bind(database);
  const commit = database.commit.bind(database);
  const rollbackWrites = database.rollbackWrites.bind(database);
  const noteRead = (table: string | null): void => {
    if (table !== null) {
      frames.getStore()?.reads.add(table);
    }
  };

  database.get = (table, id) => {
    const document = get(table, id);
    noteRead(table ?? tableOf(id));
    return document;
  };
  database._iterateDocs = (table, callback) => {
    noteRead(table);
    iterateDocs(table, callback);
  };
  database.commit = (commitTs) => {
    const layer = database._writes.at(-1) ?? {};
    commit(commitTs);
    if (database._writes.length === 0) {
      database._queryResults = {};
      committed(Object.keys(layer));
    }
  };
  database.rollbackWrites = () => {
    rollbackWrites();
    if (database._writes.length === 0) {
      // convex-test would keep the rows of every query that was not read to its end.
      database._queryResults = {};
    }
  };
}

// Checks every document that a function writes against its table's schema and Convex's limits.
export function guardDocuments(database: Database): void {
  database._validate = (table, fields) => {
    if (table.startsWith("_")) {
      return;
    }
    checkDocument(fields);
    const problem = problemOf(database._schema, table, fields);
    if (problem !== null) {
      throw new Error(
        `Failed to insert or update a document in table "${table}" because it does not match the schema: ${problem}`,
      );
    }
  };
}

// Returns how the fields of a document differ from the schema of its table, or null. It may quote values.
export function problemOf(schema: Schema | null, table: string, fields: Record<string, Value>): string | null {
  const validator = schema?.tables.get(table)?.documentType as ValidatorJSON | null | undefined;
  return validator ? mismatch(validator, fields) : null;
}

// The parts of Convex that the local one lacks, by the system call. convex-test would pretend to have them.
const LACKING: Partial<Record<string, string>> = {
  "1.0/storageDelete": "file storage: ctx.storage.delete",
  "1.0/storageGetUrl": "file storage: ctx.storage.getUrl",
  "1.0/storageGenerateUploadUrl": "file storage: ctx.storage.generateUploadUrl",
  "storage/storeBlob": "file storage: ctx.storage.store",
  "storage/getBlob": "file storage: ctx.storage.get",
  "1.0/actions/vectorSearch": "vector search: ctx.vectorSearch",
};

function refuse(operation: string): void {
  const lacking = LACKING[operation];
  if (lacking !== undefined) {
    throw new Error(`The local Convex has no ${lacking} cannot be used in it.`);
  }
}

// Lets the system calls with which actions store and get files fail.
export function refuseBlobs({ jsSyscall }: ConvexGlobal): ConvexGlobal["jsSyscall"] {
  return async (operation, args) => {
    refuse(operation);
    return jsSyscall(operation, args);
  };
}

// Extends convex-test's system calls: a function is scheduled at the commit, pages use journals, system tables are
// read-only, and what the local Convex does not have is refused.
export function extendSyscalls(
  convex: ConvexGlobal,
  database: Database,
  internals: Internals,
  exists: (path: string) => boolean,
): ConvexGlobal["asyncSyscall"] {
  const original = convex.asyncSyscall;

  function schedule(args: string): string {
    const { args: functionArgs, ts, ...address } = JSON.parse(args) as { args: JSONValue; ts: number };
    const { udfPath, componentPath } = internals.getFunctionPathFromAddress(address);
    if (componentPath !== "") throw new Error(noComponent(componentPath));
    const name = canonicalPath(udfPath);
    if (!exists(name)) {
      throw new Error(`Attempted to schedule function at nonexistent path: ${name}`);
    }
    const value = jsonToConvex(functionArgs);
    convex.transactionManager.getMetricsTracker()?.trackScheduledFunction(getConvexSize(value));
    const job = { name, args: [value], scheduledTime: ts * 1000, state: { kind: "pending" } };
    return JSON.stringify(database.insert(JOBS, job));
  }

  return async (operation, args) => {
    refuse(operation);
    switch (operation) {
      case "1.0/queryPage":
        return journaledPage(args, (pageArgs) => original(operation, pageArgs));
      case "1.0/schedule":
        return schedule(args);
      case "1.0/insert": {
        const { table } = JSON.parse(args) as { table: string };
        if (table.startsWith("_")) {
          throw new Error(`System tables (prefixed with \`_\`) are read-only: ${table}`);
        }
        return original(operation, args);
      }
      default:
        return original(operation, args);
    }
  };
}
