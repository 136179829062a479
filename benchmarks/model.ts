// A model of a hosted Convex deployment, for the benchmark: it keeps nothing, it only takes the time one would take.
//
// A mutation takes 25 ms and 0.2 ms for each row; 16 run at once and the others wait. Over a websocket a session's
// mutations run one after the other, as on Convex. A row is an element of the argument `changes`; without one, the call.
// Of a backfill's position it knows as much as it takes to begin and end. `POST /model/hang` makes it silent from then
// on; `GET /model` counts what was written. It prints its port, and ends when its stdin does.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer, type WebSocket } from "ws";

const MUTATION_MS = 25;
const ROW_MS = 0.2;
const AT_ONCE = 16;

type Args = { changes?: unknown[] };

const POSITION: Record<string, unknown> = {
  "users:startBackfill": { id: "1", attempt: 1.5, startedAt: 1.5, progress: null }, // the client takes no integers
  "users:saveBackfill": true,
  "users:finishBackfill": true,
};

let rows = 0;
let mutations = 0;
let running = 0;
let hangs = false;
const waiting: (() => void)[] = [];

async function mutate(path: string, args: Args): Promise<string[]> {
  if (hangs) await new Promise(() => {});
  if (running === AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  const count = path in POSITION ? 0 : (args.changes?.length ?? 1);
  await sleep(MUTATION_MS + ROW_MS * (count || 1));
  rows += count;
  mutations++;
  const next = waiting.shift();
  if (next) next();
  else running--;
  return Array<string>(count).fill("updated");
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  let result: unknown;
  switch (request.url) {
    case "/model":
      result = { rows, mutations };
      break;
    case "/model/hang":
      result = hangs = true;
      break;
    case "/api/mutation": {
      const { path, args } = JSON.parse(Buffer.concat(chunks).toString()) as { path: string; args: Args | [Args] };
      const value = await mutate(path, Array.isArray(args) ? args[0] : args);
      result = { status: "success", value: path in POSITION ? POSITION[path] : value, logLines: [] };
      break;
    }
    case "/api/query": // compareUsers, which a backfill begins with
      result = { status: "success", value: ["unchanged", "unchanged"], logLines: [] };
      break;
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
      const result = await mutate(message.udfPath, message.args[0]);
      const written = timestamp(process.hrtime.bigint());
      send({ type: "MutationResponse", requestId: message.requestId, success: true, result, ts: written, logLines: [] });
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
process.stdin.resume().on("end", () => process.exit());
