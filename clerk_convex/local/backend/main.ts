// Entry point: node main.ts --project DIR --port N
//
// DIR holds convex/ and node_modules/. LOCAL_CONVEX_DEPLOY_KEY is the deploy key, LOCAL_CONVEX_ENV a JSON object: the
// functions' own environment. When all is up, one line of JSON on stdout says where. The process lives as long as its stdin
// is open, so that it cannot outlive whoever started it, however that one ends.
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Engine } from "./engine.ts";
import { resolvePackagesFrom } from "./loader.ts";

const MAX_UNREAD_LOGS = 1024 * 1024; // bytes

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
  // Functions that came without node_modules (those inside a wheel) use the current directory's.
  resolvePackagesFrom(process.cwd());
  resolvePackagesFrom(functionsDir);
  const { createEngine } = await import("./engine.ts");
  const { startServer } = await import("./server.ts");
  const engine = printLogs(await createEngine({ functionsDir, env }));
  const { url } = await startServer({ engine, deployKey, port: Number(values.port) });
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}

/** Log lines go to stderr as well, and are dropped when nobody reads: console.error would wait for a reader for ever. */
function printLogs(engine: Engine): Engine {
  const stderr = createWriteStream("", { fd: 2, autoClose: false });
  stderr.on("error", () => process.exit(0));
  return {
    ...engine,
    async run(call) {
      const outcome = await engine.run(call);
      for (const line of outcome.logLines) {
        if (stderr.writableLength < MAX_UNREAD_LOGS) stderr.write(`${call.path} ${line}\n`);
      }
      return outcome;
    },
  };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => process.exit(0));
for (const event of ["end", "close", "error"]) process.stdin.on(event, () => process.exit(0));
process.stdin.resume();
const parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(0), 500).unref(); // a fork of the parent may hold stdin open
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => process.exit(0)); // nobody listens any more

main().catch((error: unknown) => {
  const { code, message, port } = error as NodeJS.ErrnoException & { port?: number };
  const busy = code === "EADDRINUSE";
  const line = busy
    ? `Port ${String(port)} is in use on 127.0.0.1. Choose another, or 0 for a free one.`
    : message;
  process.stderr.write(`${line}\n`, () => process.exit(busy ? 2 : 1));
});
