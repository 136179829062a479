// Makes convex-test's reads fast. convex-test looks at every document of every table; this module gives it only the few
// that can match, from sorted indexes. convex-test still applies each range, filter, order and page to them.
import { compareValues, jsonToConvex, type JSONValue, type Value } from "convex/values";

import type { Database, Document, Internals, Layer, PageRequest, Query } from "./database.ts";
import { tableOf } from "./validators.ts";

type Key = (Value | undefined)[];

interface Entry {
  key: Key;
  document: Document;
}

// Replaces the reads of a database. Returns a function that builds the indexes anew, for other documents or another schema.
export function accelerate(database: Database, internals: Internals): () => void {
  const tables = new Map<string, Table>();
  const original = {
    addWrite: database._addWrite.bind(database),
    commit: database.commit.bind(database),
    rollbackWrites: database.rollbackWrites.bind(database),
    stashWrites: database.stashWrites.bind(database),
    restoreWrites: database.restoreWrites.bind(database),
    paginate: database.paginate.bind(database),
    resolveQuerySource: database._resolveQuerySource.bind(database),
  };
  let query: Query | null = null;
  let page: PageRequest | null = null;

  function table(name: string): Table {
    let found = tables.get(name);
    if (found === undefined) {
      found = new Table(internals);
      tables.set(name, found);
    }
    return found;
  }

  // Keeps the indexes correct. It is called for an id whenever the document that the running transaction sees may have
  // changed: by a write, by a commit that fills in its timestamp, or by a rollback.
  function refresh(id: string): void {
    table(tableOf(id) ?? "").set(id, database.get(undefined, id));
  }

  function refreshAll(layers: Layer[]): void {
    for (const layer of layers) {
      Object.keys(layer).forEach(refresh);
    }
  }

  database._addWrite = (id, document) => {
    original.addWrite(id, document);
    refresh(id);
  };
  database.commit = (commitTs) => {
    const layers = database._writes.slice(-1);
    original.commit(commitTs);
    refreshAll(layers);
  };
  database.rollbackWrites = () => {
    const layers = database._writes.slice(-1);
    original.rollbackWrites();
    refreshAll(layers);
  };
  database.stashWrites = () => {
    const stashed = original.stashWrites();
    refreshAll(stashed);
    return stashed;
  };
  database.restoreWrites = (stashed) => {
    original.restoreWrites(stashed);
    refreshAll(stashed);
  };
  database.paginate = (request) => {
    page = request;
    try {
      return original.paginate(request);
    } finally {
      page = null;
    }
  };
  database._resolveQuerySource = (wanted) => {
    query = wanted;
    try {
      return original.resolveQuerySource(wanted);
    } finally {
      query = null;
    }
  };
  database._iterateDocs = (name, callback) => {
    for (const document of candidates(database, internals, table(name), name, query, page)) {
      callback(document);
    }
  };
  return () => {
    tables.clear();
    refreshAll([database._documents]);
  };
}

// Returns the documents that a query, or one page of it, can match.
function candidates(
  database: Database,
  internals: Internals,
  table: Table,
  tableName: string,
  query: Query | null,
  page: PageRequest | null,
): Document[] {
  const source = query?.source;
  if (query === null || source === undefined || source.type === "Search") {
    return table.index("by_creation_time", ["_creationTime", "_id"]).between(0, Infinity, "asc", Infinity);
  }
  const indexName =
    source.type === "IndexRange" ? (source.indexName.split(".")[1] ?? "") : "by_creation_time";
  const index = table.index(indexName, indexFields(database, tableName, indexName));
  const order = source.order ?? "asc";
  let [start, end] = source.type === "IndexRange" ? bounds(index, source.range, internals) : [0, index.size];
  if (page?.cursor === "_end_cursor") {
    return [];
  }
  if (page?.cursor) {
    const after = index.position(parseCursor(page.cursor), order === "asc");
    [start, end] = order === "asc" ? [Math.max(start, after), end] : [start, Math.min(end, after)];
  }
  if (page?.endCursor && page.endCursor !== "_end_cursor") {
    const until = index.position(parseCursor(page.endCursor), order === "asc");
    [start, end] = order === "asc" ? [start, Math.min(end, until)] : [Math.max(start, until), end];
  }
  return index.between(start, end, order, enough(query, page));
}

// Returns how many documents of the range convex-test reads at most.
function enough(query: Query, page: PageRequest | null): number {
  if (query.operators.some((operator) => "filter" in operator)) {
    return Infinity;
  }
  if (page !== null) {
    // One more than the page, because convex-test checks whether the page's last document is the last of all.
    return page.endCursor ? Infinity : Math.max(page.pageSize, 1) + 1;
  }
  return query.operators.find((operator) => "limit" in operator)?.limit ?? Infinity;
}

function indexFields(database: Database, tableName: string, indexName: string): string[] {
  if (indexName === "by_id") {
    return ["_id"];
  }
  const declared = database._schema?.tables
    .get(tableName)
    ?.indexes.find(({ indexDescriptor }) => indexDescriptor === indexName);
  return [...(declared?.fields ?? []), "_creationTime", "_id"];
}

// Returns the positions in the index where a range starts and ends. convex-test has checked already that the range has
// equalities first, and then bounds of the next field.
function bounds(
  index: Index,
  range: { type: string; value: JSONValue }[],
  { evaluateQueryValue }: Internals,
): [number, number] {
  const equal: Key = range.filter(({ type }) => type === "Eq").map(({ value }) => evaluateQueryValue(value));
  let start = index.position(equal, false);
  let end = index.position(equal, true);
  for (const { type, value } of range) {
    if (type !== "Eq") {
      const bound = [...equal, evaluateQueryValue(value)];
      const position = index.position(bound, type === "Gt" || type === "Lte");
      [start, end] = type.startsWith("G")
        ? [Math.max(start, position), end]
        : [start, Math.min(end, position)];
    }
  }
  return [start, end];
}

function parseCursor(cursor: string): Key {
  const keys = JSON.parse(cursor) as (string | null)[];
  return keys.map((key) => (key === null ? undefined : jsonToConvex(JSON.parse(key) as JSONValue)));
}

class Table {
  readonly #internals: Internals;
  readonly #documents = new Map<string, Document>();
  readonly #indexes = new Map<string, Index>();

  constructor(internals: Internals) {
    this.#internals = internals;
  }

  set(id: string, document: Document | null): void {
    const before = this.#documents.get(id);
    if (before === (document ?? undefined)) {
      return;
    }
    for (const index of this.#indexes.values()) {
      index.replace(before, document);
    }
    if (document === null) {
      this.#documents.delete(id);
    } else {
      this.#documents.set(id, document);
    }
  }

  index(name: string, fields: string[]): Index {
    let index = this.#indexes.get(name);
    if (index === undefined) {
      const { evaluateFieldPath } = this.#internals;
      index = new Index((document) => fields.map((field) => evaluateFieldPath(field, document)));
      index.fill(this.#documents.values());
      this.#indexes.set(name, index);
    }
    return index;
  }
}

class Index {
  readonly #keyOf: (document: Document) => Key;
  #entries: Entry[] = [];

  constructor(keyOf: (document: Document) => Key) {
    this.#keyOf = keyOf;
  }

  get size(): number {
    return this.#entries.length;
  }

  fill(documents: Iterable<Document>): void {
    this.#entries = Array.from(documents, (document) => ({ key: this.#keyOf(document), document }));
    this.#entries.sort((a, b) => compareKeys(a.key, b.key));
  }

  replace(before: Document | undefined, after: Document | null): void {
    const oldKey = before && this.#keyOf(before);
    const newKey = after && this.#keyOf(after);
    if (oldKey && newKey && after && compareKeys(oldKey, newKey) === 0) {
      this.#entries[this.position(oldKey, false)] = { key: newKey, document: after };
      return;
    }
    if (oldKey) {
      this.#entries.splice(this.position(oldKey, false), 1);
    }
    if (newKey && after) {
      this.#entries.splice(this.position(newKey, false), 0, { key: newKey, document: after });
    }
  }

  // Returns the position of the first entry whose key is not less than `prefix`. With `after`, returns the position
  // after all entries whose keys begin with `prefix`.
  position(prefix: Key, after: boolean): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = compareKeys((this.#entries[middle] as Entry).key, prefix);
      if (order < 0 || (after && order === 0)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  between(start: number, end: number, order: "asc" | "desc", limit: number): Document[] {
    const stop = Math.min(end, this.#entries.length);
    const entries =
      order === "asc"
        ? this.#entries.slice(start, Math.min(stop, start + limit))
        : this.#entries.slice(Math.max(start, stop - limit), Math.max(start, stop)).reverse();
    return entries.map(({ document }) => document);
  }
}

// Compares a key with a prefix, as far as the prefix goes.
function compareKeys(key: Key, prefix: Key): number {
  for (let i = 0; i < prefix.length; i++) {
    const order = compare(key[i], prefix[i]);
    if (order !== 0) {
      return order;
    }
  }
  return 0;
}

// Compares two values in Convex's order, with short cuts for numbers and equal strings, which most keys are.
function compare(a: Value | undefined, b: Value | undefined): number {
  if (typeof a === "number" && typeof b === "number" && (a < b || a > b)) {
    return a < b ? -1 : 1;
  }
  return typeof a === "string" && a === b ? 0 : compareValues(a, b);
}
