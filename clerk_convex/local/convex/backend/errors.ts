// Words a function's error for its caller.
import { fileURLToPath, pathToFileURL } from "node:url";
import { convexToJson, type JSONValue, type Value } from "convex/values";

import { RefusedError } from "./functions.ts";

// The message of convex-test for a call into a component.
const UNREGISTERED = /^Component "([^"]*)" is not registered\./;

export function noComponent(name: string): string {
  return `The local Convex has no components: functions of "${name}" cannot be called in it.`;
}

// Returns the error in Convex's words, with the stack frames in the functions' folder.
export function describeError(
  error: unknown,
  functionsDir: string,
): { errorMessage: string; errorData?: JSONValue } {
  if (error instanceof RefusedError) {
    return { errorMessage: error.message };
  }
  if (!(error instanceof Error)) {
    return { errorMessage: `Uncaught ${String(error)}` };
  }
  const component = UNREGISTERED.exec(error.message)?.[1];
  const message = component === undefined ? error.message : noComponent(component);
  const text = `Uncaught ${error.name}: ${message}`;
  const errorMessage = [text, ...frames(error.stack ?? "", functionsDir)].join("\n");
  if (Symbol.for("ConvexError") in error) {
    return { errorMessage, errorData: convexToJson((error as Error & { data: Value }).data) };
  }
  return { errorMessage };
}

function frames(stack: string, functionsDir: string): string[] {
  const folder = `${pathToFileURL(functionsDir).href}/`;
  return stack
    .split("\n")
    .filter((line) => line.startsWith("    at "))
    .map((line) => line.replace(fileURLToPath(folder), folder))
    .filter((line) => line.includes(folder) && !line.includes("node_modules"))
    .map((line) => line.replace(`file://${folder}`, folder).replace(folder, "../convex/"));
}
