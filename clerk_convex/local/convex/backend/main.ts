// Starts the local Convex: node main.ts --project DIR --port N
//
// DIR contains convex/ and node_modules/. LOCAL_CONVEX_DEPLOY_KEY is the deploy key. LOCAL_CONVEX_ENV is a JSON object
// with the environment of the functions. When the server is ready, it writes one line of JSON with its URL to stdout.
// Logs and errors of functions go to stderr, one line of JSON each: {"level": …, "text": …}. The process exits when its
// stdin is closed, so that it never outlives the process that started it.
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LogEntry } from "./engine.ts";
import { resolvePackagesFrom } from "./loader.ts";

const MAX_UNREAD_LOGS = 1024 * 1024; // bytes

// Python's names for the levels of the console; all other levels are INFO.
const LEVELS: Partial<Record<string, string>> = { DEBUG: "DEBUG", WARN: "WARNING", ERROR: "ERROR" };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { project: { type: "string" }, port: { type: "string", default: "0" } },
  });
  const deployKey = process.env.LOCAL_CONVEX_DEPLOY_KEY;
  if (values.project === undefined || !/^\d{1,5}$/.test(values.port) || !deployKey) {
    throw new Error("usage: LOCAL_CONVEX_DEPLOY_KEY=… node main.ts --project DIR --port N");
  }
  const env = JSON.parse(process.env.LOCAL_CONVEX_ENV ?? "{}") as Record<string, string>;
  const functionsDir = join(values.project, "convex");
  // Functions in a folder without node_modules, such as those in a wheel, use the node_modules of the current
  // directory.
  resolvePackagesFrom(process.cwd());
  resolvePackagesFrom(functionsDir);
  const { createEngine } = await import("./engine.ts");
  const { startServer } = await import("./server.ts");
  const engine = await createEngine({ functionsDir, env, log: logWriter() });
  const { url } = await startServer({ engine, deployKey, port: Number(values.port) });
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}

/** Writes logs to stderr. If nobody reads them, it drops new lines, where console.error would block for ever. */
function logWriter(): (entry: LogEntry) => void {
  const stderr = createWriteStream("", { fd: 2, autoClose: false });
  stderr.on("error", () => process.exit(0));
  const write = (level: string, text: string): void => {
    if (stderr.writableLength < MAX_UNREAD_LOGS) stderr.write(`${JSON.stringify({ level, text })}\n`);
  };
  return ({ function: name, lines, error, expected }) => {
    const prefix = `[CONVEX ${name}]`;
    for (const line of lines) write(LEVELS[/^\[(\w+)\]/.exec(line)?.[1] ?? ""] ?? "INFO", `${prefix} ${line}`);
    if (error !== null) write(expected ? "INFO" : "ERROR", `${prefix} ${error}`);
  };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => process.exit(0));
for (const event of ["end", "close", "error"]) process.stdin.on(event, () => process.exit(0));
process.stdin.resume();
const parent = process.ppid;
// A fork of the parent may hold stdin open after the parent has ended.
setInterval(() => process.ppid === parent || process.exit(0), 500).unref();
// An error of these streams means that the reader has closed the pipe.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => process.exit(0));

main().catch((error: unknown) => {
  const { code, message, port } = error as NodeJS.ErrnoException & { port?: number };
  const busy = code === "EADDRINUSE";
  const line = busy
    ? `Port ${String(port)} is in use on 127.0.0.1. Choose another, or 0 for a free one.`
    : message;
  process.stderr.write(`${line}\n`, () => process.exit(busy ? 2 : 1));
});
