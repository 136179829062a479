// A model of a hosted Convex deployment, for the benchmark: it keeps nothing, it only takes the time one would take.
//
// A mutation takes 25 ms and 0.2 ms for each row; 16 run at once and the others wait. Over a websocket a session's
// mutations run one after the other, as on Convex. A row is an element of the argument `changes`; without one, the call.
// Of a backfill's position it knows as much as it takes to begin and end. `POST /model/hang` makes it silent from then
// on; `GET /model` counts what was written. It prints its port, and ends when its stdin does.
//
//     node model.ts [BYTES [RATE [shards]]]
//
// With BYTES, which a row writes, it has the limits of a deployment of the class S16, too (convex-backend,
// crates/application and crates/database): a mutation begins only while at most 4 MiB were written in the last second;
// it waits 5 s for one of the 16 slots; it conflicts if another one has changed a document that it reads since it began.
// A mutation that writes too fast or conflicts is retried four times. Then the call is refused, with Convex's code.
// With RATE an app beside ours makes so many small mutations per second, which need the same slots and the same budget.
//
// Of the documents it knows those of the totals. A mutation with rows reads which generation is counted, and inserts its
// change of the totals, which conflicts with nothing. With `shards` it changes one of 16 documents, and a rebuild changes
// the document that every mutation reads with each of its steps: so the totals were before, for comparison.
// `POST /model/rebuild` runs a rebuild until the process ends.

import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer, type WebSocket } from "ws";

const VERSION = /VERSION = "(.+)"/.exec(readFileSync(new URL("../convex/clerk/version.ts", import.meta.url), "utf8"))![1]!;
const MUTATION_MS = 25;
const ROW_MS = 0.2;
const AT_ONCE = 16;
const BUDGET = 4 * 1024 * 1024; // bytes in WINDOW_MS
const WINDOW_MS = 1000;
const SLOT_WAIT_MS = 5000;
const RETRIES = 4;
const FIRST_PAUSE_MS = 100; // before a retry; twice as long before each further one, shortened at random
const LONGEST_PAUSE_MS = 2000;
const SHARDS = 16;
const STEP_MS = 125; // of a rebuild: 500 rows
const APP_BYTES = 500; // of a small mutation of the app: a document and two or three index entries

type Args = { changes?: unknown[] };
type Code = "TooManyConcurrentRequests" | "TooManyWrites" | "OptimisticConcurrencyControlFailure";

class Refused extends Error {
  readonly code: Code;

  constructor(code: Code) {
    super(code);
    this.code = code;
  }
}

const [rowBytes = 0, appRate = 0] = process.argv.slice(2, 4).map(Number);
const hasShards = process.argv[4] === "shards";
const isLimited = rowBytes > 0;

const POSITION: Record<string, unknown> = {
  "users:startBackfill": { id: "1", attempt: 1.5, startedAt: 1.5, progress: null }, // the client takes no integers
  "users:saveBackfill": true,
  "users:finishBackfill": true,
};

let rows = 0;
let mutations = 0;
let bytes = 0;
let conflicts = 0; // before they were tried again
let running = 0;
let hangs = false;
const refused: Record<Code, number> = {
  TooManyConcurrentRequests: 0,
  TooManyWrites: 0,
  OptimisticConcurrencyControlFailure: 0,
};
const app = { calls: 0, refused: 0, slowest_ms: 0 };
const waiting = new Set<() => void>();
const written: { at: number; bytes: number }[] = []; // in the last second
let inWindow = 0; // bytes of `written`
let commits = 0;
const changedBy = new Map<string, number>(); // for each document the number of the last commit that changed it
let steps = 0; // of a rebuild

type Touched = { reads: string[]; writes: string[] };

async function mutate(path: string, args: Args): Promise<string[]> {
  if (hangs) await new Promise(() => {});
  const count = path in POSITION ? 0 : (args.changes?.length ?? 1);
  try {
    await run(count || 1, (count || 1) * rowBytes, () => (count > 0 ? totals() : NOTHING));
  } catch (error) {
    if (error instanceof Refused) refused[error.code]++;
    throw error;
  }
  rows += count;
  mutations++;
  return Array<string>(count).fill("updated");
}

/** Take the time of a mutation and write `size` bytes. Throws Refused. */
async function run(rowCount: number, size: number, touched: () => Touched): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const trouble = await attemptOnce(rowCount, size, touched());
    if (!trouble) return;
    if (attempt === RETRIES) throw new Refused(trouble);
    await sleep(Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt));
  }
}

async function attemptOnce(rowCount: number, size: number, touched: Touched): Promise<Code | undefined> {
  if (isLimited && bytesInWindow() > BUDGET) return "TooManyWrites";
  const begun = commits; // the transaction begins before it waits for its slot
  if (running < AT_ONCE) running++;
  else await slot();
  await sleep(MUTATION_MS + ROW_MS * rowCount);
  const [next] = waiting;
  if (next) next();
  else running--;
  if (!isLimited) return undefined;
  if (touched.reads.some((name) => (changedBy.get(name) ?? 0) > begun)) {
    conflicts++;
    return "OptimisticConcurrencyControlFailure";
  }
  commit(touched.writes);
  written.push({ at: performance.now(), bytes: size });
  inWindow += size;
  bytes += size;
  return undefined;
}

function commit(writes: string[]): void {
  commits++;
  for (const name of writes) changedBy.set(name, commits);
}

const NOTHING: Touched = { reads: [], writes: [] };

/** What a mutation of users reads and changes of the totals. */
function totals(): Touched {
  if (!hasShards) return { reads: ["state"], writes: [] };
  const shard = `shard ${Math.floor(Math.random() * SHARDS)}`;
  return { reads: ["state", shard], writes: [shard] };
}

/** Count all users, one step after the other. A step that conflicts is repeated, so no step is refused here. */
async function rebuild(): Promise<void> {
  commit(["state"]);
  for (;;) {
    await sleep(STEP_MS);
    commit([hasShards ? "state" : "progress"]);
    steps++;
  }
}

/** Wait for a slot that another mutation leaves. With limits it throws Refused after 5 s. */
function slot(): Promise<void> {
  return new Promise((resolve, reject) => {
    const take = (): void => {
      waiting.delete(take);
      clearTimeout(timer);
      resolve();
    };
    const giveUp = (): void => {
      waiting.delete(take);
      reject(new Refused("TooManyConcurrentRequests"));
    };
    const timer = isLimited ? setTimeout(giveUp, SLOT_WAIT_MS) : undefined;
    waiting.add(take);
  });
}

function bytesInWindow(): number {
  const from = performance.now() - WINDOW_MS;
  while (written[0] && written[0].at < from) inWindow -= written.shift()?.bytes ?? 0;
  return inWindow;
}

async function callOfApp(): Promise<void> {
  const begun = performance.now();
  app.calls++;
  try {
    await run(1, APP_BYTES, () => NOTHING);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    app.refused++;
  }
  app.slowest_ms = Math.max(app.slowest_ms, performance.now() - begun);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  let result: unknown;
  switch (request.url) {
    case "/model":
      result = { rows, mutations, bytes, conflicts, refused, app, steps };
      break;
    case "/model/rebuild":
      void rebuild();
      result = true;
      break;
    case "/model/hang":
      result = hangs = true;
      break;
    case "/api/mutation": {
      const { path, args } = JSON.parse(Buffer.concat(chunks).toString()) as { path: string; args: Args | [Args] };
      try {
        const value = await mutate(path, Array.isArray(args) ? args[0] : args);
        result = { status: "success", value: path in POSITION ? POSITION[path] : value, logLines: [] };
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        response.statusCode = error.code === "OptimisticConcurrencyControlFailure" ? 503 : 429;
        result = { code: error.code, message: "The model has reached a limit." };
      }
      break;
    }
    case "/api/query": { // compareUsers, which a backfill begins with, or about
      const { path } = JSON.parse(Buffer.concat(chunks).toString()) as { path: string };
      const value = path.endsWith(":about") ? { version: VERSION, columns: [] } : ["unchanged", "unchanged"];
      result = { status: "success", value, logLines: [] };
      break;
    }
    default:
      response.statusCode = 404;
      result = { code: "NotFound", message: "The model has no such address." };
  }
  response.setHeader("Content-Type", "application/json").end(JSON.stringify(result));
}

// Convex's sync protocol, as far as a client needs it that only calls mutations.
function session(socket: WebSocket): void {
  let identity = 0;
  let ts = timestamp(0n);
  let last: Promise<void> = Promise.resolve();

  const send = (message: object): void => socket.send(JSON.stringify(message));

  function transition(newIdentity: number): void {
    const startVersion = { querySet: 0, identity, ts };
    identity = newIdentity;
    ts = timestamp(process.hrtime.bigint());
    send({ type: "Transition", startVersion, endVersion: { querySet: 0, identity, ts }, modifications: [] });
  }

  socket.on("message", (data) => {
    const message = JSON.parse(String(data)) as { type: string; requestId: number; udfPath: string; args: [Args] };
    if (message.type === "Authenticate") transition(identity + 1);
    if (message.type !== "Mutation") return;
    last = last.then(async () => {
      const { requestId } = message;
      try {
        const result = await mutate(message.udfPath, message.args[0]);
        const committed = timestamp(process.hrtime.bigint());
        send({ type: "MutationResponse", requestId, success: true, result, ts: committed, logLines: [] });
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        send({ type: "MutationResponse", requestId, success: false, result: error.code, logLines: [] });
      }
      // The Rust client gives the result out when it has seen the state that contains it.
      transition(identity);
    });
  });
}

function timestamp(time: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(time);
  return bytes.toString("base64");
}

const server = createServer((request, response) => void answer(request, response));
const sockets = new WebSocketServer({ server });
sockets.on("connection", session);
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
if (appRate > 0) setInterval(() => void callOfApp(), 1000 / appRate);
process.stdin.resume().on("end", () => process.exit());
