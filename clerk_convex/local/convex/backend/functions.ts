// Finds the registered functions of a project, and wraps each so that it runs as on a Convex deployment.
import type { JSONValue, Value } from "convex/values";

import { checkCallSize, checkValue } from "./limits.ts";
import { loadFailure, type Project } from "./loader.ts";
import { frames, setGlobals, type Frame } from "./runtime.ts";
import { mismatch, type ValidatorJSON } from "./validators.ts";

export interface FunctionInfo {
  kind: "query" | "mutation" | "action";
  visibility: "public" | "internal";
  args: JSONValue; // a validator as JSON
  returns: JSONValue;
}

interface Registered {
  isQuery?: boolean;
  isMutation?: boolean;
  isAction?: boolean;
  isPublic?: boolean;
  exportArgs(): string;
  exportReturns(): string;
  _handler(ctx: unknown, args: Value): unknown;
}

// An error whose message Convex returns unchanged, without "Uncaught Error: ".
export class RefusedError extends Error {}

// Returns the one spelling of a function's path: "users.js:getUsers" -> "users:getUsers", "users" -> "users:default".
export function canonicalPath(path: string): string {
  const colon = path.lastIndexOf(":");
  const module = colon === -1 ? path : path.slice(0, colon);
  return `${module.replace(/\.js$/, "")}:${colon === -1 ? "default" : path.slice(colon + 1)}`;
}

export interface Wrapped {
  functions: Map<string, FunctionInfo>; // by canonical path
  modules: Map<string, unknown>; // what convex-test runs, by module path
}

// Wraps all functions of a project. `begin` is called at the start of every transaction.
export function wrapFunctions(
  project: Project,
  env: Record<string, string>,
  begin: (frame: Frame) => void,
): Wrapped {
  const functions = new Map<string, FunctionInfo>();
  const modules = new Map<string, unknown>();
  for (const [path, module] of project.modules) {
    const wrapped: Record<string, unknown> = {};
    for (const [name, exported] of Object.entries(module)) {
      if (typeof exported !== "function") {
        continue;
      }
      const registered = exported as unknown as Registered;
      const kind = kindOf(registered);
      if (kind !== null) {
        try {
          functions.set(`${path}:${name}`, {
            kind,
            visibility: registered.isPublic ? "public" : "internal",
            args: JSON.parse(registered.exportArgs()) as JSONValue,
            returns: JSON.parse(registered.exportReturns()) as JSONValue,
          });
          wrapped[name] = wrap(registered, kind, `${path}.js:${name}`, env, begin);
        } catch (error) {
          throw loadFailure(`${path}:${name}`, error);
        }
      }
    }
    modules.set(path, wrapped);
  }
  return { functions, modules };
}

function kindOf(registered: Registered): FunctionInfo["kind"] | null {
  if (registered.isQuery) {
    return "query";
  }
  if (registered.isMutation) {
    return "mutation";
  }
  return registered.isAction ? "action" : null;
}

// Wraps one function. convex-test checks a return value after the commit; here it is checked within the transaction, so
// that a refused value rolls back the writes.
function wrap(
  registered: Registered,
  kind: FunctionInfo["kind"],
  path: string,
  env: Record<string, string>,
  begin: (frame: Frame) => void,
): unknown {
  const args = JSON.parse(registered.exportArgs()) as ValidatorJSON;
  const returns = JSON.parse(registered.exportReturns()) as ValidatorJSON | null;
  const handler = registered._handler;

  async function run(ctx: unknown, value: Value): Promise<unknown> {
    setGlobals(kind, env);
    refuse(`Invalid arguments for ${path}: `, () => {
      checkValue(value);
      checkCallSize("Arguments are", value);
    });
    refuseMismatch("ArgumentValidationError", args, value);
    const result = ((await handler(ctx, value)) ?? null) as Value;
    refuse(`Function ${path} return value invalid: `, () => {
      checkValue(result);
      checkCallSize("Return value is", result);
      if (returns !== null) {
        refuseMismatch("ReturnsValidationError", returns, result);
      }
    });
    return result;
  }

  return {
    ...registered,
    exportArgs: () => '{"type":"any"}',
    exportReturns: () => "null",
    _handler: (ctx: unknown, value: Value) => {
      const frame = frames.getStore() as Frame;
      if (kind === "action" || frame.time !== null) {
        return run(ctx, value);
      }
      const transaction = { ...frame };
      begin(transaction);
      frame.snapshot = transaction.snapshot;
      return frames.run(transaction, run, ctx, value);
    },
  };
}

function refuse(prefix: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw error instanceof RefusedError ? error : new RefusedError(prefix + (error as Error).message);
  }
}

function refuseMismatch(kind: string, validator: ValidatorJSON, value: Value): void {
  const problem = mismatch(validator, value);
  if (problem !== null) {
    throw new RefusedError(`${kind}: ${problem}`);
  }
}
