// Runs a project's Convex functions in memory. It uses convex-test and adds what a deployment does and convex-test does
// not: validation, limits, text search, scheduled functions and subscriptions. A process outside the project must call
// resolvePackagesFrom (loader.ts) before it imports this module.
import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate } from "node:timers/promises";
import { makeFunctionReference, type UserIdentity } from "convex/server";
import { convexToJson, type Value } from "convex/values";

import { accelerate } from "./accelerator.ts";
import { readProviders, type Providers } from "./auth.ts";
import { createCrons, type CronJob } from "./crons.ts";
import { checkDatabase, type ConvexGlobal, type Database, type Internals } from "./database.ts";
import { describeError } from "./errors.ts";
import { canonicalPath, wrapFunctions, type FunctionInfo } from "./functions.ts";
import { extendSyscalls, guardDocuments, observe } from "./hooks.ts";
import { createJobRunner } from "./jobs.ts";
import { parseJournal, writeJournal } from "./journal.ts";
import { loadFailure, loadProject, resolvePackagesFrom, type Project } from "./loader.ts";
import type { Outcome } from "./outcome.ts";
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
  readonly providers: Providers; // the auth providers whose tokens the project accepts
  // Returns null if there is no function at that path.
  describe(path: string): FunctionInfo | null;
  // Runs one function, in one transaction if it is no action. Does not check visibility. Never rejects.
  run(call: Call): Promise<Outcome>;
  // Calls the listener after every commit that wrote something: of run(), actions, scheduled functions, crons and
  // clear(). It gets the tables written and the number of the commit (1, 2, …), before the run() that caused it
  // resolves. It must not throw. Returns a function that removes the listener.
  onCommit(listener: CommitListener): () => void;
  crons(): CronJob[];
  // Runs a cron job now. Throws if there is no job of that name.
  runCron(name: string): Promise<Outcome>;
  // Empties all tables and drops all scheduled functions.
  clear(): Promise<void>;
  // Stops the timers and waits for running transactions.
  close(): Promise<void>;
}

// Transactions run for at most this long before other work of the process, such as requests, gets a turn.
const STRETCH_MS = 5;

export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { functionsDir, env, now = Date.now, log, accelerated = true } = options;
  resolvePackagesFrom(functionsDir);
  const project = await loadProject(functionsDir, env);
  const providers = providersOf(project);
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
  const { functions, modules } = wrapFunctions(project, env, begin);
  const test = convexTest({ schema: project.schema as never, modules, transactionLimits: true });
  const convex = await convexGlobal(test, internals);
  const database = (convex.components[""] as { db: Database }).db;
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
    const info = functions.get(path);
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
  const crons = createCrons(project.crons as { export(): string } | null, clock, (path, args) =>
    run({ path, args, identity: null }),
  );

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

  let forget: () => void = () => undefined;
  if (accelerated) {
    forget = accelerate(database, internals);
  }
  rankSearches(database, internals);
  observe(database, committed);
  guardDocuments(database);
  convex.asyncSyscall = extendSyscalls(convex, database, internals, functions);

  return {
    providers,
    describe: (path) => functions.get(canonicalPath(path)) ?? null,
    run,
    onCommit(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    crons: () => crons.list(),
    runCron: (name) => crons.run(name),
    async clear() {
      const tables = new Set<string>();
      jobs.drop();
      await transact(() => {
        jobs.drop(); // again: transactions before this one may have scheduled some
        for (const id of Object.keys(database._documents)) {
          tables.add(tableOf(id) ?? "");
        }
        database._documents = {};
        forget();
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
