// Serves Convex's HTTP function API and websocket on 127.0.0.1, on top of an Engine.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { UserIdentity } from "convex/server";
import type { JSONValue } from "convex/values";
import { WebSocketServer } from "ws";
import type { Engine } from "./engine.ts";
import type { Outcome } from "./outcome.ts";
import { AuthenticationError, type TokensOptions } from "./auth.ts";
import { callFunction, Doorkeeper } from "./calls.ts";
import type { Call, Caller, Credential, Kind } from "./calls.ts";
import { Sync } from "./sync.ts";
import { refusalOf } from "./system.ts";
import { cleanJson, parseJson, valueToText } from "./wire.ts";

const LACKING = "LocalConvexLacksThis"; // the code of an error about what Convex has and the local Convex does not

const MAX_BODY = 16 * 1024 * 1024 + 2_000; // bytes; the limit of Convex: 16 MiB of arguments and the JSON around them

const IDLE_MS = 75_000; // that a connection is kept. Node would close it after 5 s, at the moment at which httpx drops it, too

const LOCAL = new Set(["/local/clear", "/local/metered"]); // for programs with the deploy key

export type ServerOptions = {
  engine: Engine;
  deployKey: string;
  port: number; // 0: any free port
  pingInterval?: number; // milliseconds; clients drop a connection without a message for 30 s
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

/** Starts the server. Resolves when the port is open, and rejects with Node's error (EADDRINUSE) if it cannot be opened. */
export async function startServer({
  engine,
  deployKey,
  port,
  pingInterval = 15_000,
  tokens,
}: ServerOptions): Promise<RunningServer> {
  const door = new Doorkeeper(deployKey, engine, tokens);
  const sync = new Sync(engine, door, pingInterval);
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_BODY });
  const server = createServer((request, response) => void answer(request, response, engine, door));
  server.keepAliveTimeout = IDLE_MS;
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
  engine.url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return {
    url: engine.url,
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
  // Like a real deployment, allow calls with credentials from pages of any origin.
  response.setHeader("Access-Control-Allow-Origin", request.headers.origin ?? "*");
  response.setHeader("Access-Control-Allow-Credentials", "true");
  response.setHeader("Vary", "Origin");
  try {
    await route(request, response, engine, door);
  } catch (error) {
    request.resume(); // some clients read the answer only after they have sent the whole body
    if (error instanceof HttpError || error instanceof AuthenticationError) {
      if (error.code === LACKING) {
        // The CLI, in all versions, prints this message and ends. What else it does with an error depends on the version.
        response.setHeader("x-convex-deprecation-state", "Deprecated");
        response.setHeader("x-convex-deprecation-message", error.message);
      }
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
  const kind = /^\/api\/(query|mutation|action|function)$/.exec(path)?.[1] as Kind | "function" | undefined;
  const isName = path === "/version" || path === "/instance_name";
  const method = isName ? "GET" : kind !== undefined || LOCAL.has(path) ? "POST" : null;
  if (method === null) throw notFound(request, path, engine);
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
  if (isName) {
    send(response, 200, "local", "text/plain");
    return;
  }
  const { caller } = await door.authenticate(credentialOf(request));
  if (kind !== undefined) {
    send(response, 200, await callOverHttp(request, engine, kind, caller));
    return;
  }
  if (!caller.admin) throw new HttpError(401, "BadAdminKey", "This needs the deploy key.");
  if (path === "/local/metered") {
    send(response, 200, JSON.stringify({ status: "success", value: engine.metered() }));
    return;
  }
  await engine.clear();
  send(response, 200, '{"status":"success","value":null}');
}

/** The error for a path that the server does not have: it says whether Convex has it. */
function notFound(request: IncomingMessage, path: string, engine: Engine): HttpError {
  const fromCli = String(request.headers["convex-client"]).startsWith("npm-cli");
  const refusal = refusalOf(path, fromCli);
  if (refusal !== null) return new HttpError(403, LACKING, refusal); // the CLI would repeat a 404 for a minute
  if (engine.hasHttpActions && !path.startsWith("/api/")) {
    const text = "The local Convex has no HTTP actions: it does not serve the routes of convex/http.ts.";
    return new HttpError(501, LACKING, text);
  }
  return new HttpError(404, "NotFound", "There is nothing at this path of the local Convex.");
}

/** Calls a function. With the kind "function" it is called as what it is, as `npx convex run` wants it. */
async function callOverHttp(
  request: IncomingMessage,
  engine: Engine,
  kind: Kind | "function",
  caller: Caller,
): Promise<string> {
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    throw new HttpError(400, "BadJsonBody", "Expected request with `Content-Type: application/json`");
  }
  const { call, encoded } = callOf(await readBody(request));
  const actual = kind === "function" ? (engine.describe(call.path)?.kind ?? "query") : kind;
  const outcome = await callFunction(engine, actual, call, caller);
  const toText = (value: JSONValue) => valueToText(encoded ? value : cleanJson(value));
  return outcomeToText(outcome, toText);
}

/** Returns the body of an outcome. An error of a function has status 200 as well, because the official Python client cannot
 * read the status 560 that hosted Convex may use. */
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
  const { path, args, format = "json", componentPath } = (body ?? {}) as { [field: string]: unknown };
  if (typeof path !== "string") throw new HttpError(400, "BadJsonBody", "`path` must be a string.");
  if (typeof format !== "string" || !["json", "convex_encoded_json"].includes(format)) {
    throw new HttpError(400, "BadFormat", "`format` must be json or convex_encoded_json.");
  }
  if (componentPath !== undefined && componentPath !== null && componentPath !== "") {
    throw new HttpError(400, LACKING, "The local Convex has no components: leave out --component.");
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
  return scheme.toLowerCase() === "convex" ? adminOf(value) : { type: "User", value };
}

/** Reads `KEY` or `KEY:IDENTITY`. The identity is base64 of JSON: the official clients act as that user. */
function adminOf(text: string): Credential {
  // The key itself may begin with `prod:`. The identity comes after the `|`, and base64 has no colon.
  const [, value = text, acting] = /^([^|]*\|[^:]*):(.*)$/.exec(text) ?? [];
  if (acting === undefined) return { type: "Admin", value };
  try {
    const identity = parseJson(Buffer.from(acting, "base64").toString()) as UserIdentity;
    return { type: "Admin", value, identity };
  } catch {
    throw new HttpError(400, "InvalidAuthHeader", "The identity behind the deploy key must be base64 of JSON.");
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").replace(/\?.*$/s, "");
}

function send(response: ServerResponse, status: number, body: string, type = "application/json"): void {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}
