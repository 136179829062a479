// Declares the internals of convex-test 0.0.60 that the engine uses and that convex-test does not export.
import type { JSONValue, Value } from "convex/values";

export type Document = Record<string, Value> & { _id: string; _creationTime: number };

export interface RangeFilter {
  type: "Eq" | "Gt" | "Gte" | "Lt" | "Lte";
  fieldPath: string;
  value: JSONValue;
}

export interface Query {
  source:
    | { type: "FullTableScan"; tableName: string; order: "asc" | "desc" | null }
    | { type: "IndexRange"; indexName: string; range: RangeFilter[]; order: "asc" | "desc" | null }
    | SearchSource;
  operators: ({ filter: JSONValue } | { limit: number })[];
}

export interface SearchSource {
  type: "Search";
  indexName: string; // "table.index"
  filters: { type: "Search" | "Eq"; fieldPath: string; value: JSONValue }[];
}

export interface PageRequest {
  query: Query;
  cursor: string | null;
  endCursor: string | null;
  pageSize: number;
}

export interface Page {
  page: Document[];
  isDone: boolean;
  continueCursor: string;
  splitCursor: string | null;
  pageStatus: string | null;
}

export type Layer = Record<string, Document | null>;

export interface Database {
  _documents: Record<string, Document>;
  _writes: Layer[];
  _queryResults: Record<number, Document[]>;
  _schema: Schema | null;
  get(table: string | undefined, id: string): Document | null;
  insert(table: string, fields: Record<string, Value>): string;
  patch(table: string, id: string, fields: Record<string, JSONValue>): void;
  commit(commitTs: bigint | null): void;
  rollbackWrites(): void;
  stashWrites(): Layer[];
  restoreWrites(stashed: Layer[]): void;
  queryNext(queryId: number): unknown;
  paginate(request: PageRequest): unknown;
  _addWrite(id: string, document: Document | null): void;
  _generateId(table: string): string;
  _validate(table: string, fields: Record<string, Value>): void;
  _iterateDocs(table: string, callback: (document: Document) => void): void;
  _evaluateQuery(query: Query): Document[];
  _resolveQuerySource(query: Query): unknown;
}

export interface Schema {
  schemaValidation: boolean;
  tables: Map<string, Table>;
}

interface Table {
  documentType: JSONValue | null;
  indexes: { indexDescriptor: string; fields: string[] }[];
  searchIndexes: { indexDescriptor: string; searchField: string; filterFields: string[] }[];
}

export interface ConvexGlobal {
  components: Record<string, { db: Database; modules(path: string): Promise<unknown> }>;
  transactionManager: {
    getMetricsTracker(): {
      trackRead(bytes: number): void;
      trackScheduledFunction(bytes: number): void;
    } | null;
  };
  asyncSyscall(operation: string, args: string): Promise<string>;
  jsSyscall(operation: string, args: unknown): Promise<unknown>;
}

export interface Internals {
  convexGlobalStorage: { getStore(): ConvexGlobal | undefined };
  evaluateFieldPath(path: string, document: Document): Value | undefined;
  evaluateFilter(document: Document, filter: JSONValue): boolean;
  evaluateQueryValue(value: JSONValue): Value | undefined;
  getFunctionPathFromAddress(address: Record<string, unknown>): { udfPath: string; componentPath: string };
}

// Names that loader.ts adds to convex-test's exports. A version without one of them fails to load.
export const INTERNALS = [
  "convexGlobalStorage",
  "evaluateFieldPath",
  "evaluateFilter",
  "evaluateQueryValue",
  "getFunctionPathFromAddress",
];

const METHODS = [
  "get",
  "insert",
  "patch",
  "commit",
  "rollbackWrites",
  "stashWrites",
  "restoreWrites",
  "queryNext",
  "paginate",
  "_addWrite",
  "_generateId",
  "_validate",
  "_iterateDocs",
  "_evaluateQuery",
  "_resolveQuerySource",
] as const;

// Throws if `database` lacks something that the engine uses.
export function checkDatabase(database: Database): void {
  const missing: string[] = METHODS.filter((name) => typeof database[name] !== "function");
  missing.push(
    ...(["_documents", "_writes", "_queryResults"] as const).filter(
      (name) => typeof database[name] !== "object",
    ),
  );
  if (missing.length > 0) {
    throw new Error(
      `This version of convex-test has no ${missing.join(", ")}. The local Convex is made for 0.0.60: install that.`,
    );
  }
}
