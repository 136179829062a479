// Runs a project's Convex functions in memory. It uses convex-test and adds what a deployment does and convex-test does
// not: validation, limits, text search, scheduled functions and subscriptions. A process outside the project must call
// resolvePackagesFrom (loader.ts) before it imports this module.
import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate } from "node:timers/promises";
import { makeFunctionReference, type UserIdentity } from "convex/server";
import { convexToJson, type JSONValue, type Value } from "convex/values";

import { accelerate } from "./accelerator.ts";
import { readProviders, type Providers } from "./auth.ts";
import { createCrons, type CronJob, type Crons } from "./crons.ts";
import type { Row } from "./data.ts";
import {
  checkDatabase,
  type ConvexGlobal,
  type Database,
  type Document,
  type Internals,
  type Schema,
} from "./database.ts";
import { describeError } from "./errors.ts";
import { canonicalPath, wrapFunctions, type FunctionInfo, type Wrapped } from "./functions.ts";
import { extendSyscalls, guardDocuments, observe, problemOf, refuseBlobs } from "./hooks.ts";
import { createJobRunner } from "./jobs.ts";
import { parseJournal, writeJournal } from "./journal.ts";
import { loadFailure, loadProject, resolvePackagesFrom, type Project } from "./loader.ts";
import { Meter, type Metered } from "./meter.ts";
import { EVERY_QUERY, type Outcome } from "./outcome.ts";
import { frames, newFrame, type Frame } from "./runtime.ts";
import { rankSearches } from "./search.ts";
import { tableOf } from "./validators.ts";

export type { FunctionInfo };

export interface EngineOptions {
  functionsDir: string; // absolute path of the folder that has schema.ts and the functions
  env: Record<string, string>; // process.env of the functions
  now?: () => number; // returns Unix milliseconds
  log?: (entry: LogEntry) => void; // called after each function that logged or failed, also scheduled ones
  accelerated?: boolean; // false: reads by convex-test alone, which is slow; tests compare the two
}

export interface LogEntry {
  function: string; // as `npx convex dev` writes it: "M(users:syncUsers)"
  lines: string[]; // the lines of its console, such as "[LOG] 'text'"
  error: string | null; // message and stack of its error
  expected: boolean; // true: the error is a ConvexError, which is meant for the caller
}

export interface Call {
  path: string; // "users:getUsers" or "users.js:getUsers"
  args: Value;
  identity: UserIdentity | null; // the result of ctx.auth.getUserIdentity(); null with the admin key
  journal?: string | null; // of the last outcome of this query with these arguments
}

export type CommitListener = (writes: Set<string>, commit: number) => void;

export interface Engine {
  url: string; // set by the server
  readonly env: Record<string, string>;
  // The auth providers whose tokens the project accepts. Another object after a reload.
  readonly providers: Providers;
  readonly hasHttpActions: boolean; // the project has convex/http.ts
  // Returns null if there is no function at that path.
  describe(path: string): FunctionInfo | null;
  // Runs one function, in one transaction if it is no action. Does not check visibility. Never rejects.
  run(call: Call): Promise<Outcome>;
  // Calls the listener after every commit that wrote something: of run(), actions, scheduled functions, crons, load()
  // and clear(), and after a reload(), which counts as a commit that wrote EVERY_QUERY. It gets the tables written and the number of the commit (1, 2, …), before the run() that caused it
  // resolves. It must not throw. Returns a function that removes the listener.
  onCommit(listener: CommitListener): () => void;
  crons(): CronJob[];
  // Runs a cron job now. Throws if there is no job of that name.
  runCron(name: string): Promise<Outcome>;
  commits(): number; // the number of the last commit
  tables(): string[]; // the names of the project's tables
  rows(table: string): JSONValue[]; // the documents of a table, the oldest first, convex-encoded
  functionSpec(): JSONValue; // all functions, as `npx convex function-spec` prints them
  // Adds rows. Their `_creationTime` is kept. An `_id` becomes one of this deployment, also where other rows contain it.
  // Throws an Error of one line that names the place of a row that its table refuses.
  load(rows: Row[]): Promise<void>;
  // Loads the functions, the schema, crons and auth.config anew and keeps the data. Throws an Error of one line if they
  // cannot be loaded, or if the schema refuses a document; then everything stays as it was.
  reload(): Promise<void>;
  // Returns what was written and read since the last call of this.
  metered(): Metered;
  // Empties all tables and drops all scheduled functions.
  clear(): Promise<void>;
  // Stops the timers and waits for running transactions.
  close(): Promise<void>;
}

// Transactions run for at most this long before other work of the process, such as requests, gets a turn.
const STRETCH_MS = 5;

const ROWS_AT_ONCE = 500; // rows that load() adds in one transaction

// The modules, functions and settings that were loaded from the folder of the functions.
interface Program extends Wrapped {
  project: Project;
  providers: Providers;
}

export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { functionsDir, env, now = Date.now, log, accelerated = true } = options;
  resolvePackagesFrom(functionsDir);
  const first = await loadProject(functionsDir, env);
  // Imported here because the hook that resolvePackagesFrom registers must load it.
  const { convexTest, ...internals } = (await import("convex-test")) as typeof import("convex-test") &
    Internals;

  let time = 0;
  const clock = (): number => (time = Math.max(time, Math.floor(now())));
  let commits = 0;
  const begin = (frame: Frame): void => {
    frame.time = clock();
    frame.snapshot = commits;
  };
  const programOf = (project: Project): Program => {
    return { ...wrapFunctions(project, env, begin), project, providers: providersOf(project) };
  };
  let program = programOf(first);
  // convex-test wants a folder of this name. Its modules are found by the function below.
  const modules = { "convex/_generated/api.js": () => Promise.resolve({}) };
  const test = convexTest({ schema: first.schema as never, modules, transactionLimits: true });
  const convex = await convexGlobal(test, internals);
  const root = convex.components[""] as ConvexGlobal["components"][string];
  root.modules = async (path) => {
    const module = program.modules.get(path);
    if (module === undefined) throw new Error(`There is no module "${path}" among the functions.`);
    return Promise.resolve(module);
  };
  const database = root.db;
  checkDatabase(database);

  // Listeners and timers must not run in the async context of the function that committed.
  const outside = AsyncLocalStorage.snapshot();
  const listeners = new Set<CommitListener>();
  let tail: Promise<unknown> = Promise.resolve();
  let lastPause = performance.now();

  function inTurn<T>(transaction: () => Promise<T>): Promise<T> {
    const result = tail.then(transaction);
    tail = result.then(pause, pause);
    return result;
  }

  async function pause(): Promise<void> {
    if (performance.now() - lastPause > STRETCH_MS) {
      await setImmediate();
      lastPause = performance.now();
    }
  }

  function transact(change: () => void): Promise<void> {
    return inTurn(() =>
      frames.run(newFrame(), async () => {
        await test.run(() => Promise.resolve(change()));
      }),
    );
  }

  async function run(call: Call): Promise<Outcome> {
    const path = canonicalPath(call.path);
    const info = program.functions.get(path);
    const outcome = await perform(call, path, info);
    const error = outcome.ok ? null : outcome.errorMessage;
    if (error !== null || outcome.logLines.length > 0) {
      log?.({
        function: `${info === undefined ? "" : info.kind.charAt(0).toUpperCase()}(${path})`,
        lines: outcome.logLines,
        error,
        expected: !outcome.ok && outcome.errorData !== undefined,
      });
    }
    return outcome;
  }

  async function perform(call: Call, path: string, info: FunctionInfo | undefined): Promise<Outcome> {
    const frame = newFrame(parseJournal(call.journal));
    const { logLines, reads, writes } = frame;
    if (info === undefined) {
      return { ok: false, errorMessage: notFound(path), logLines, reads, snapshot: commits };
    }
    const caller = call.identity === null ? test : test.withIdentity(call.identity);
    const invoke = caller[info.kind] as (reference: unknown, args: Value) => Promise<Value>;
    const invoked = (): Promise<Value> => frames.run(frame, invoke, makeFunctionReference(path), call.args);
    try {
      const value = await (info.kind === "action" ? invoked() : inTurn(invoked));
      const journal = info.kind === "query" ? writeJournal(frame.pages) : null;
      return {
        ok: true,
        value: convexToJson(value),
        logLines,
        journal,
        reads,
        writes,
        snapshot: frame.snapshot,
      };
    } catch (error) {
      return { ok: false, ...describeError(error, functionsDir), logLines, reads, snapshot: frame.snapshot };
    }
  }

  const jobs = createJobRunner(database, clock, transact, async (path, args) => {
    const { ok } = await run({ path, args, identity: null });
    return ok;
  });
  const cronsOf = ({ project }: Program): Crons =>
    createCrons(project.crons as { export(): string } | null, clock, (path, args) =>
      run({ path, args, identity: null }),
    );
  let crons = cronsOf(program);

  function committed(ids: string[]): void {
    const writes = new Set(ids.map((id) => tableOf(id) ?? ""));
    const frame = frames.getStore();
    for (const table of writes) {
      frame?.writes.add(table);
    }
    outside(() => {
      jobs.committed(ids);
      announce(writes);
    });
  }

  function announce(writes: Set<string>): void {
    if (writes.size === 0) {
      return;
    }
    commits += 1;
    for (const listener of listeners) {
      listener(writes, commits);
    }
  }

  let rebuild: () => void = () => undefined;
  if (accelerated) {
    rebuild = accelerate(database, internals);
  }
  rankSearches(database, internals);
  observe(database, committed);
  const meter = new Meter(convex, database);
  guardDocuments(database);
  convex.asyncSyscall = extendSyscalls(convex, database, internals, (path) => program.functions.has(path));
  convex.jsSyscall = refuseBlobs(convex);

  function schemaOf(project: Project): Schema | null {
    const { constructor: Fake } = database as unknown as {
      constructor: new (schema: unknown, component: string) => Database;
    };
    try {
      return new Fake(project.schema, "")._schema;
    } catch (error) {
      throw loadFailure("schema", error);
    }
  }

  function documents(): Document[] {
    return Object.values(database._documents).filter(({ _id }) => !tableOf(_id)?.startsWith("_"));
  }

  return {
    url: "",
    env,
    get providers() {
      return program.providers;
    },
    get hasHttpActions() {
      return program.project.modules.has("http");
    },
    describe: (path) => program.functions.get(canonicalPath(path)) ?? null,
    run,
    commits: () => commits,
    tables() {
      const used = documents().map(({ _id }) => tableOf(_id) ?? "");
      return [...new Set([...(database._schema?.tables.keys() ?? []), ...used])].sort();
    },
    rows(table) {
      const found = documents().filter(({ _id }) => tableOf(_id) === table);
      found.sort((a, b) => a._creationTime - b._creationTime || (a._id < b._id ? -1 : 1));
      return found.map(convexToJson);
    },
    functionSpec: () =>
      Array.from(program.functions, ([path, { kind, visibility, args, returns }]) => ({
        args,
        functionType: kind.charAt(0).toUpperCase() + kind.slice(1),
        identifier: path.replace(":", ".js:"),
        returns: returns ?? { type: "any" },
        visibility: { kind: visibility },
      })),
    async load(rows) {
      const { schemaValidation = false, tables } = database._schema ?? {};
      for (const { table, place } of rows) {
        if (schemaValidation && !tables?.has(table)) {
          throw new Error(`${place}: the schema has no table "${table}".`);
        }
      }
      const ids = new Map<string, string>();
      const made = rows.map(({ table, fields }) => {
        const id = database._generateId(table);
        if (typeof fields._id === "string") ids.set(fields._id, id);
        return id;
      });
      const begun = clock();
      for (let start = 0; start < rows.length; start += ROWS_AT_ONCE) {
        await transact(() => {
          for (const [index, row] of rows.slice(start, start + ROWS_AT_ONCE).entries()) {
            const { _creationTime } = row.fields;
            const fields = renamed(ownFields(row.fields), ids) as Record<string, Value>;
            try {
              database._validate(row.table, fields);
            } catch (error) {
              throw new Error(`${row.place}: ${summary((error as Error).message)}`);
            }
            const id = made[start + index] as string;
            const at = typeof _creationTime === "number" ? _creationTime : begun + (start + index) / 1000;
            database._addWrite(id, { ...fields, _id: id, _creationTime: at });
          }
        });
      }
    },
    async reload() {
      const project = await loadProject(functionsDir, env);
      const next = programOf(project);
      const schema = schemaOf(project);
      await inTurn(() => {
        if (schema?.schemaValidation) checkDocuments(schema, documents());
        const jobs = cronsOf(next);
        crons.stop();
        crons = jobs;
        program = next;
        database._schema = schema;
        rebuild();
        return Promise.resolve();
      });
      announce(new Set([EVERY_QUERY]));
    },
    onCommit(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    crons: () => crons.list(),
    runCron: (name) => crons.run(name),
    metered: () => meter.take(),
    async clear() {
      const tables = new Set<string>();
      jobs.drop();
      await transact(() => {
        jobs.drop(); // again: transactions before this one may have scheduled some
        for (const id of Object.keys(database._documents)) {
          tables.add(tableOf(id) ?? "");
        }
        database._documents = {};
        rebuild();
      });
      announce(tables);
    },
    async close() {
      jobs.stop();
      crons.stop();
      await tail;
    },
  };
}

// Throws if the schema does not take one of the documents, as a push to Convex does.
function checkDocuments(schema: Schema, documents: Document[]): void {
  for (const document of documents) {
    const { _id } = document;
    const table = tableOf(_id) ?? "";
    const problem = problemOf(schema, table, ownFields(document));
    if (problem !== null) {
      throw new Error(
        `Schema validation failed. The document ${_id} does not match the schema of "${table}": ${summary(problem)}`,
      );
    }
  }
}

// Returns the fields of a document that are not Convex's.
function ownFields(document: Record<string, Value>): Record<string, Value> {
  const entries = Object.entries(document).filter(([name]) => name !== "_id" && name !== "_creationTime");
  return Object.fromEntries(entries);
}

// Returns the first sentence of a mismatch, and the path where it is. The rest quotes the document.
function summary(problem: string): string {
  const [first = "", ...rest] = problem.split("\n");
  const path = rest.find((line) => line.startsWith("Path: "));
  return path === undefined ? first : `${first} ${path}`;
}

// Returns a value with ids of another deployment replaced, in all depths.
function renamed(value: Value, ids: Map<string, string>): Value {
  if (typeof value === "string") return ids.get(value) ?? value;
  if (Array.isArray(value)) return value.map((item) => renamed(item, ids));
  if (typeof value !== "object" || value === null || value instanceof ArrayBuffer) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, item === undefined ? item : renamed(item, ids)]),
  );
}

function providersOf({ authConfig }: Project): Providers {
  try {
    return readProviders(authConfig);
  } catch (error) {
    throw loadFailure("auth.config", error);
  }
}

async function convexGlobal(
  test: { run(inside: () => Promise<void>): Promise<unknown> },
  { convexGlobalStorage }: Internals,
): Promise<ConvexGlobal> {
  let found: ConvexGlobal | undefined;
  await test.run(() => {
    found = convexGlobalStorage.getStore();
    return Promise.resolve();
  });
  return found as ConvexGlobal;
}

// Returns Convex's message for a function that does not exist or that the caller may not call.
export function notFound(path: string): string {
  return (
    `Could not find public function for '${canonicalPath(path)}'. ` +
    "Did you forget to run `npx convex dev` or `npx convex deploy`?"
  );
}
