// Convex's HTTP function API and websocket on 127.0.0.1, on top of an Engine.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { JSONValue } from "convex/values";
import { WebSocketServer } from "ws";
import type { Engine } from "./engine.ts";
import type { Outcome } from "./outcome.ts";
import { AuthenticationError, Tokens, type TokensOptions } from "./auth.ts";
import { callFunction, Doorkeeper } from "./calls.ts";
import type { Call, Caller, Credential, Kind } from "./calls.ts";
import { Sync } from "./sync.ts";
import { cleanJson, parseJson, valueToText } from "./wire.ts";

const MAX_BODY = 16 * 1024 * 1024 + 2_000; // Convex's: 16 MiB of arguments and what stands around them

export type ServerOptions = {
  engine: Engine;
  deployKey: string;
  port: number; // 0: a free one
  pingInterval?: number; // milliseconds; clients drop a connection that is silent for 30 s
  tokens?: TokensOptions;
};

export type RunningServer = { url: string; close(): Promise<void> };

class HttpError extends Error {
  status: number;
  code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Resolves when the port is open; rejects with Node's error (EADDRINUSE) when it cannot be opened. */
export async function startServer({
  engine,
  deployKey,
  port,
  pingInterval = 15_000,
  tokens,
}: ServerOptions): Promise<RunningServer> {
  const door = new Doorkeeper(deployKey, new Tokens(engine.providers, tokens));
  const sync = new Sync(engine, door, pingInterval);
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_BODY });
  const server = createServer((request, response) => void answer(request, response, engine, door));
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    if (/^\/api\/([^/]+\/)?sync$/.test(pathOf(request))) {
      sockets.handleUpgrade(request, socket, head, (connection) => sync.open(connection));
    } else {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
  });
  try {
    await listen(server, port);
  } catch (error) {
    sync.close();
    throw error;
  }
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    async close() {
      sync.close();
      for (const connection of sockets.clients) connection.terminate();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  engine: Engine,
  door: Doorkeeper,
): Promise<void> {
  // A page on another port calls with credentials, as on a real deployment.
  response.setHeader("Access-Control-Allow-Origin", request.headers.origin ?? "*");
  response.setHeader("Access-Control-Allow-Credentials", "true");
  response.setHeader("Vary", "Origin");
  try {
    await route(request, response, engine, door);
  } catch (error) {
    request.resume(); // a client reads the answer only after it has sent everything
    if (error instanceof HttpError || error instanceof AuthenticationError) {
      send(response, error.status, JSON.stringify({ code: error.code, message: error.message }));
    } else if (!request.errored) {
      console.error("The local Convex failed on a request:", error);
      send(
        response,
        500,
        JSON.stringify({ code: "InternalServerError", message: "The local Convex failed." }),
      );
    }
  }
}

async function route(
  request: IncomingMessage,
  response: ServerResponse,
  engine: Engine,
  door: Doorkeeper,
): Promise<void> {
  const path = pathOf(request);
  const kind = /^\/api\/(query|mutation|action)$/.exec(path)?.[1] as Kind | undefined;
  const method = path === "/version" ? "GET" : kind !== undefined || path === "/local/clear" ? "POST" : null;
  if (method === null) throw new HttpError(404, "NotFound", "There is nothing at this path.");
  if (request.method === "OPTIONS") {
    response.setHeader("Access-Control-Allow-Methods", method);
    response.setHeader(
      "Access-Control-Allow-Headers",
      request.headers["access-control-request-headers"] ?? "*",
    );
    response.setHeader("Access-Control-Max-Age", "86400");
    send(response, 200, "");
    return;
  }
  if (request.method !== method) {
    response.setHeader("Allow", method);
    throw new HttpError(405, "MethodNotAllowed", `Use ${method}.`);
  }
  if (path === "/version") {
    send(response, 200, "local", "text/plain");
    return;
  }
  const { caller } = await door.authenticate(credentialOf(request));
  if (kind !== undefined) {
    send(response, 200, await callOverHttp(request, engine, kind, caller));
    return;
  }
  if (!caller.admin) throw new HttpError(401, "BadAdminKey", "This needs the deploy key.");
  await engine.clear();
  send(response, 200, '{"status":"success","value":null}');
}

async function callOverHttp(
  request: IncomingMessage,
  engine: Engine,
  kind: Kind,
  caller: Caller,
): Promise<string> {
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    throw new HttpError(400, "BadJsonBody", "Expected request with `Content-Type: application/json`");
  }
  const { call, encoded } = callOf(await readBody(request));
  const outcome = await callFunction(engine, kind, call, caller);
  const toText = (value: JSONValue) => valueToText(encoded ? value : cleanJson(value));
  return outcomeToText(outcome, toText);
}

/** A function's error has status 200 too: the official Python client cannot read 560, hosted Convex's other choice. */
function outcomeToText(outcome: Outcome, toText: (value: JSONValue) => string): string {
  const logLines = `"logLines":${JSON.stringify(outcome.logLines)}`;
  if (outcome.ok) return `{"status":"success","value":${toText(outcome.value)},${logLines}}`;
  const data = outcome.errorData === undefined ? "" : `"errorData":${toText(outcome.errorData)},`;
  return `{"status":"error","errorMessage":${JSON.stringify(outcome.errorMessage)},${data}${logLines}}`;
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY)
      throw new HttpError(413, "RequestTooLarge", `The body is larger than ${String(MAX_BODY)} bytes.`);
    chunks.push(chunk as Buffer);
  }
  try {
    return parseJson(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new HttpError(400, "BadJsonBody", "The body is not valid JSON.");
  }
}

function callOf(body: unknown): { call: Call; encoded: boolean } {
  const { path, args, format = "json" } = (body ?? {}) as { [field: string]: unknown };
  if (typeof path !== "string") throw new HttpError(400, "BadJsonBody", "`path` must be a string.");
  if (typeof format !== "string" || !["json", "convex_encoded_json"].includes(format)) {
    throw new HttpError(400, "BadFormat", "`format` must be json or convex_encoded_json.");
  }
  const named = Array.isArray(args) && args.length === 1 ? (args[0] as unknown) : args;
  if (typeof named !== "object" || named === null || Array.isArray(named)) {
    throw new HttpError(400, "BadJsonBody", "`args` must be an object, or an array of one.");
  }
  return { call: { path, args: named as JSONValue }, encoded: format === "convex_encoded_json" };
}

function credentialOf(request: IncomingMessage): Credential {
  const header = request.headers.authorization;
  if (header === undefined) return { type: "None" };
  const [, scheme, value] = /^(convex|bearer) +(\S+)$/i.exec(header) ?? [];
  if (scheme === undefined || value === undefined) {
    throw new HttpError(
      400,
      "InvalidAuthHeader",
      "Authorization must be `Convex <deploy key>` or `Bearer <token>`.",
    );
  }
  return { type: scheme.toLowerCase() === "convex" ? "Admin" : "User", value };
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").replace(/\?.*$/s, "");
}

function send(response: ServerResponse, status: number, body: string, type = "application/json"): void {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}
