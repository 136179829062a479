// Counts what a deployment of Convex would write and read: documents and index entries, in bytes. Convex bills both and
// limits what is written per second.
//
// The formulas are those of get-convex/convex-backend: crates/database/src/committer.rs (what is added up),
// crates/common/src/persistence.rs (sizes), crates/indexing/src/index_registry.rs (entries of a change) and
// crates/value/src/sorting.rs (keys). Text indexes are not part of it. Read are the documents that functions get.
import { compareValues, getConvexSize, type Value } from "convex/values";

import type { ConvexGlobal, Database, Document } from "./database.ts";
import { tableOf } from "./validators.ts";

export type Metered = {
  documentsWritten: number;
  entriesWritten: number; // of indexes
  bytesWritten: number; // by both
  documentsRead: number;
  bytesRead: number;
};

const TIMESTAMP = 8; // bytes
const DOCUMENT_ID = 32; // of the table and of the document
const INDEX_ID = 16;
const ID_LENGTH = 32; // characters of an id
const ID_KEY = ID_LENGTH + 2; // as a key it has a tag and an end

export class Meter {
  #total = nothing();

  constructor(convex: ConvexGlobal, database: Database) {
    this.#meterWrites(database);
    this.#meterReads(convex);
  }

  // Returns what was counted since the last call.
  take(): Metered {
    const taken = this.#total;
    this.#total = nothing();
    return taken;
  }

  #meterWrites(database: Database): void {
    const commit = database.commit.bind(database);
    database.commit = (commitTs) => {
      const layer = database._writes.at(-1) ?? {};
      const before = new Map(Object.keys(layer).map((id) => [id, database._documents[id] ?? null]));
      commit(commitTs);
      if (database._writes.length > 0) return; // a part of a larger transaction
      for (const [id, old] of before) this.#addWrite(database, id, old, database._documents[id] ?? null);
    };
  }

  #addWrite(database: Database, id: string, before: Document | null, after: Document | null): void {
    const table = tableOf(id) ?? "";
    if (table.startsWith("_") || (before === null && after === null)) return;
    const total = this.#total;
    total.documentsWritten += 1;
    total.bytesWritten += TIMESTAMP + DOCUMENT_ID + (after === null ? 0 : sizeOf(after));
    if (before !== null) total.bytesWritten += TIMESTAMP; // of the replaced document
    for (const fields of indexesOf(database, table)) {
      if (after !== null) this.#addEntry(after, fields, DOCUMENT_ID);
      // An unchanged key is one entry, which replaces the deletion of the old one.
      const isUnchanged = before !== null && after !== null && haveSameKey(before, after, fields);
      if (before !== null && !isUnchanged) this.#addEntry(before, fields, 0);
    }
  }

  #addEntry(document: Document, fields: string[], valueSize: number): void {
    const key = fields.reduce((sum, path) => sum + keySize(valueAt(document, path)), ID_KEY);
    this.#total.entriesWritten += 1;
    this.#total.bytesWritten += TIMESTAMP + INDEX_ID + key + valueSize;
  }

  #meterReads({ transactionManager }: ConvexGlobal): void {
    const getTracker = transactionManager.getMetricsTracker.bind(transactionManager);
    const metered = new WeakSet<object>();
    transactionManager.getMetricsTracker = () => {
      const tracker = getTracker();
      if (tracker !== null && !metered.has(tracker)) {
        metered.add(tracker);
        const trackRead = tracker.trackRead.bind(tracker);
        tracker.trackRead = (bytes) => {
          this.#total.documentsRead += 1;
          this.#total.bytesRead += bytes;
          trackRead(bytes);
        };
      }
      return tracker;
    };
  }
}

function nothing(): Metered {
  return { documentsWritten: 0, entriesWritten: 0, bytesWritten: 0, documentsRead: 0, bytesRead: 0 };
}

// Returns the fields of each index of a table, without the id that ends every key.
function indexesOf(database: Database, table: string): string[][] {
  const declared = database._schema?.tables.get(table)?.indexes ?? [];
  return [[], ["_creationTime"], ...declared.map(({ fields }) => [...fields, "_creationTime"])];
}

// Returns the size of a document whose id is as long as Convex's; those of convex-test are shorter.
function sizeOf(document: Document): number {
  return getConvexSize(document) - document._id.length + ID_LENGTH;
}

function haveSameKey(one: Document, other: Document, fields: string[]): boolean {
  return fields.every((path) => compareValues(valueAt(one, path), valueAt(other, path)) === 0);
}

function valueAt(document: Document, path: string): Value | undefined {
  let value: Value | undefined = document;
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof ArrayBuffer) {
      return undefined;
    }
    value = (value as Record<string, Value | undefined>)[name];
  }
  return value;
}

// Returns the bytes of a value in a key. A missing value, null and a boolean are a tag.
function keySize(value: Value | undefined): number {
  if (typeof value === "number") return 9;
  if (typeof value === "bigint") return 9; // the largest; small ones are shorter
  if (typeof value === "string") {
    const zeros = value.split("\0").length - 1; // each gets a byte that escapes it
    return Buffer.byteLength(value) + zeros + 2;
  }
  if (value instanceof ArrayBuffer) return value.byteLength + 2;
  if (Array.isArray(value)) return value.reduce((sum: number, element) => sum + keySize(element), 2);
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([name, field]) => Buffer.byteLength(name) + 1 + keySize(field));
    return fields.reduce((sum, size) => sum + size, 2);
  }
  return 1;
}
