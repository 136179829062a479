// Runs a project's Convex functions on this machine, in memory, by means of convex-test.
import type { UserIdentity } from "convex/server";
import { convexToJson, type JSONValue, type Value } from "convex/values";

import { loadProject, resolvePackagesFrom } from "./loader.ts";

export interface EngineOptions {
  functionsDir: string; // absolute path of the folder that holds schema.ts and the functions
  env: Record<string, string>; // process.env of the functions
  now?: () => number; // Unix milliseconds
}

export interface FunctionInfo {
  kind: "query" | "mutation" | "action";
  visibility: "public" | "internal";
}

export interface Call {
  path: string; // "users:getUsers" or "users.js:getUsers"
  args: Value;
  identity: UserIdentity | null; // what ctx.auth.getUserIdentity() returns; null with the admin key
  journal?: string | null; // from the last Outcome of this query with these arguments
}

export type Outcome =
  | {
      ok: true;
      value: JSONValue; // convex-encoded JSON
      logLines: string[];
      journal: string | null; // null unless a query paginated
      reads: Set<string>; // tables
      writes: Set<string>; // tables; for an action, of all mutations it ran
    }
  | {
      ok: false;
      errorMessage: string; // as Convex words it, without the "[Request ID: …] Server Error" line
      errorData?: JSONValue; // a ConvexError's, convex-encoded
      logLines: string[];
      reads: Set<string>;
    };

export interface CronJob {
  name: string;
  path: string;
  schedule: string; // in words
  nextRun: number | null; // Unix milliseconds; null: this schedule is not run here
}

export interface Engine {
  // null if there is no function at that path.
  describe(path: string): FunctionInfo | null;
  // One function, one transaction. Does not look at visibility. Never rejects.
  run(call: Call): Promise<Outcome>;
  // Called after every commit that wrote something, whoever made it (run(), actions, scheduled functions, crons, clear()),
  // with the tables written, before the run() that caused it resolves. Returns how to stop.
  onCommit(listener: (writes: Set<string>) => void): () => void;
  crons(): CronJob[];
  // Runs a cron job now. Throws if there is none of that name.
  runCron(name: string): Promise<Outcome>;
  // Empties all tables and forgets what is scheduled.
  clear(): Promise<void>;
  close(): Promise<void>;
}

interface Registered {
  (...args: unknown[]): unknown;
  isQuery?: boolean;
  isMutation?: boolean;
  isAction?: boolean;
  isPublic?: boolean;
}

export async function createEngine(options: EngineOptions): Promise<Engine> {
  resolvePackagesFrom(options.functionsDir);
  const { convexTest } = await import("convex-test");
  const { makeFunctionReference } = await import("convex/server");
  const project = await loadProject(options.functionsDir);
  const modules: Record<string, () => Promise<unknown>> = { "convex/_generated/api.js": () => Promise.resolve({}) };
  const functions = new Map<string, FunctionInfo>();
  for (const [path, module] of project.modules) {
    modules[`convex/${path}.js`] = () => Promise.resolve(module);
    for (const [name, value] of Object.entries(module)) {
      const f = value as Registered;
      const kind = f.isQuery ? "query" : f.isMutation ? "mutation" : f.isAction ? "action" : null;
      if (kind !== null) {
        functions.set(`${path}:${name}`, { kind, visibility: f.isPublic ? "public" : "internal" });
      }
    }
  }
  const test = convexTest({ schema: project.schema as never, modules, transactionLimits: true });
  const canonical = (path: string): string => path.replace(/\.js(?=:|$)/, "");
  const listeners = new Set<(writes: Set<string>) => void>();

  async function run(call: Call): Promise<Outcome> {
    const path = canonical(call.path);
    const info = functions.get(path);
    if (info === undefined) {
      return { ok: false, errorMessage: notFound(path), logLines: [], reads: new Set() };
    }
    const caller = call.identity === null ? test : test.withIdentity(call.identity);
    try {
      const reference = makeFunctionReference(path) as never;
      const invoke = caller[info.kind] as (reference: never, args: Value) => Promise<Value>;
      const value = await invoke(reference, call.args);
      return {
        ok: true,
        value: convexToJson(value),
        logLines: [],
        journal: null,
        reads: new Set(),
        writes: new Set(),
      };
    } catch (error) {
      return { ok: false, errorMessage: `Uncaught ${String(error)}`, logLines: [], reads: new Set() };
    }
  }

  return {
    describe: (path) => functions.get(canonical(path)) ?? null,
    run,
    onCommit(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    crons: () => [],
    runCron: (name) => Promise.reject(new Error(`There is no cron job "${name}".`)),
    clear: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

// What Convex answers for a function that does not exist or that the caller may not know of.
export function notFound(path: string): string {
  return (
    `Could not find public function for '${path.replace(/\.js(?=:|$)/, "")}'. ` +
    "Did you forget to run `npx convex dev` or `npx convex deploy`?"
  );
}
