// Starts the local Convex: node main.ts --functions DIR --port N [--data PATH …] [--watch]
//
// DIR has the functions and schema.ts. PATH is what data.ts reads: the rows to start with. With --watch the functions are
// loaded again when a file of DIR changes; if they cannot be, those before the change stay. LOCAL_CONVEX_DEPLOY_KEY is the deploy key. LOCAL_CONVEX_ENV is a JSON object
// with the environment of the functions. When the server is ready, it writes one line of JSON with its URL to stdout.
// Logs and errors of functions go to stderr, one line of JSON each: {"level": …, "text": …}. The process exits when its
// stdin is closed, so that it never outlives the process that started it.
import { createWriteStream } from "node:fs";
import { parseArgs } from "node:util";
import type { Engine, LogEntry } from "./engine.ts";
import { resolvePackagesFrom } from "./loader.ts";
import { watchFolder } from "./watch.ts";

const MAX_UNREAD_LOGS = 1024 * 1024; // bytes

// Python's names for the levels of the console; all other levels are INFO.
const LEVELS: Partial<Record<string, string>> = { DEBUG: "DEBUG", WARN: "WARNING", ERROR: "ERROR" };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      functions: { type: "string" },
      port: { type: "string", default: "0" },
      data: { type: "string", multiple: true, default: [] },
      watch: { type: "boolean", default: false },
    },
  });
  const deployKey = process.env.LOCAL_CONVEX_DEPLOY_KEY;
  if (values.functions === undefined || !/^\d{1,5}$/.test(values.port) || !deployKey) {
    throw new Error("usage: LOCAL_CONVEX_DEPLOY_KEY=… node main.ts --functions DIR --port N");
  }
  const env = JSON.parse(process.env.LOCAL_CONVEX_ENV ?? "{}") as Record<string, string>;
  const functionsDir = values.functions;
  // Functions in a folder without node_modules, such as those in a wheel, use the node_modules of the current
  // directory.
  resolvePackagesFrom(process.cwd());
  resolvePackagesFrom(functionsDir);
  const { createEngine } = await import("./engine.ts");
  const { startServer } = await import("./server.ts");
  const { readRows } = await import("./data.ts");
  const write = lineWriter();
  const engine = await createEngine({ functionsDir, env, log: logWriter(write) });
  await engine.load(readRows(values.data));
  if (values.watch) watchFolder(functionsDir, () => reload(engine, write));
  const { url } = await startServer({ engine, deployKey, port: Number(values.port) });
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}

type Write = (level: string, text: string) => void;

/** Loads the functions again, and says so, or why they could not be loaded. */
async function reload(engine: Engine, write: Write): Promise<void> {
  try {
    await engine.reload();
    write("INFO", "The Convex functions were loaded again.");
  } catch (error) {
    write("ERROR", `${(error as Error).message} The functions before this change stay.`);
  }
}

/** Writes lines to stderr. If nobody reads them, it drops new lines, where console.error would block for ever. */
function lineWriter(): Write {
  const stderr = createWriteStream("", { fd: 2, autoClose: false });
  stderr.on("error", () => process.exit(0));
  return (level, text) => {
    if (stderr.writableLength < MAX_UNREAD_LOGS) stderr.write(`${JSON.stringify({ level, text })}\n`);
  };
}

function logWriter(write: Write): (entry: LogEntry) => void {
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
