import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { ConvexError, type Value } from "convex/values";
import { WebSocket } from "ws";

import {
  createEngine,
  type Call,
  type CommitListener,
  type Engine,
} from "../../../../clerk_convex/local/convex/backend/engine.ts";
import type { Outcome } from "../../../../clerk_convex/local/convex/backend/outcome.ts";
import { startServer } from "../../../../clerk_convex/local/convex/backend/server.ts";
import { Peer, until, type Message } from "./helpers.ts";

const KEY = "local|0123456789abcdef";
const FUNCTIONS = fileURLToPath(new URL("fixture/server/convex", import.meta.url));

const engine = await createEngine({ functionsDir: FUNCTIONS, env: { GREETING: "hello" } });
after(() => engine.close());

const query = (name: string) => makeFunctionReference<"query">(`items:${name}`);
const mutation = (name: string) => makeFunctionReference<"mutation">(`items:${name}`);
const action = (name: string) => makeFunctionReference<"action">(`items:${name}`);

async function serve(
  t: TestContext,
  options: { engine?: Engine; port?: number; pingInterval?: number } = {},
) {
  await engine.clear();
  const server = await startServer({ engine, deployKey: KEY, port: 0, ...options });
  t.after(() => server.close());
  return server;
}

function post(url: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body });
}

const asAdmin = { Authorization: `Convex ${KEY}` };

function httpClient(url: string): ConvexHttpClient {
  return new ConvexHttpClient(url, { logger: false });
}

function client(t: TestContext, url: string): ConvexClient {
  const convex = new ConvexClient(url, { webSocketConstructor: WebSocket as never, logger: false });
  t.after(() => convex.close());
  return convex;
}

type Stub = {
  [path: string]: { kind: "query" | "mutation" | "action"; run: (call: Call) => Promise<Partial<Outcome>> };
};

/** An engine whose functions are the test's. `commit` is what a mutation does when it is done. */
function stubEngine(functions: Stub): Engine & { commit: (table: string) => number } {
  const listeners = new Set<CommitListener>();
  let commits = 0;
  return {
    providers: { list: [], skipped: 0 },
    url: "",
    env: {},
    hasHttpActions: false,
    describe: (path) =>
      path in functions ? { kind: functions[path]!.kind, visibility: "public", args: null, returns: null } : null,
    async run(call) {
      const outcome = await functions[call.path]!.run(call);
      return {
        ok: true,
        value: null,
        logLines: [],
        journal: null,
        reads: new Set(),
        writes: new Set(),
        snapshot: 0,
        ...outcome,
      } as Outcome;
    },
    onCommit: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    commit(table) {
      commits += 1;
      for (const listener of listeners) listener(new Set([table]), commits);
      return commits;
    },
    commits: () => commits,
    tables: () => [],
    rows: () => [],
    functionSpec: () => [],
    load: () => Promise.resolve(),
    reload: () => Promise.resolve(),
    crons: () => [],
    runCron: () => Promise.reject(new Error("none")),
    clear: () => Promise.resolve(),
    metered: () => ({ documentsWritten: 0, entriesWritten: 0, bytesWritten: 0, documentsRead: 0, bytesRead: 0 }),
    close: () => Promise.resolve(),
  };
}

function deferred() {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

const ts = (text: string) => Buffer.from(text, "base64").readBigUInt64LE();

// HTTP

test("the official HTTP client queries, mutates and acts", async (t) => {
  const convex = httpClient((await serve(t)).url);
  assert.equal(await convex.mutation(mutation("add"), { rank: 2, name: "two" }), 2);
  assert.equal(await convex.action(action("addTwo"), {}), "hello");
  assert.deepEqual(await convex.query(query("list"), {}), ["one", "two", "two"]);
});

test("every kind of value is sent and returned", async (t) => {
  const convex = httpClient((await serve(t)).url);
  const value = {
    int: 7n,
    bytes: new Uint8Array([1, 2]).buffer,
    nan: NaN,
    minus: -0,
    whole: 5,
    far: 1e300,
    text: "é\u2028",
  };
  const answer = (await convex.query(query("values"), { value })) as { value: Value };
  assert.deepEqual(answer.value, value);
});

test("floats are sent with a fraction, other types by the format asked for", async (t) => {
  const { url } = await serve(t);
  const ask = async (format?: string) => {
    const body = JSON.stringify({
      path: "items:values",
      args: { value: [1, 2.5, { $float: "AAAAAAAAAIA=" }] },
      format,
    });
    return (await post(`${url}/api/query`, body)).text();
  };
  const clean = '"bytes":"AAA=","huge":"Infinity","value":[1.0,2.5,-0.0],"whole":5.0';
  const sorted = (text: string) => text.replace(/"big":.*?,(?=")/, (big) => ((found = big), ""));
  let found = "";
  assert.ok(sorted(await ask("json")).includes(clean), await ask("json"));
  assert.equal(found, '"big":"5",');
  assert.equal(await ask(), await ask("json"));
  assert.ok(
    sorted(await ask("convex_encoded_json")).includes(
      '"bytes":{"$bytes":"AAA="},"huge":{"$float":"AAAAAAAA8H8="}',
    ),
  );
  assert.equal(found, '"big":{"$integer":"BQAAAAAAAAA="},');
});

test("a function's error is status 200 with its message and data", async (t) => {
  const { url } = await serve(t);
  const response = await post(`${url}/api/mutation`, JSON.stringify({ path: "items:refuse", args: {} }));
  assert.equal(response.status, 200);
  const body = (await response.json()) as Message;
  assert.equal(body.status, "error");
  assert.equal(body.errorData, "no");
  await assert.rejects(httpClient(url).mutation(mutation("refuse"), {}), ConvexError);
  assert.deepEqual(await httpClient(url).query(query("list"), {}), []);
});

test("an internal function exists only for the deploy key", async (t) => {
  const { url } = await serve(t);
  const body = JSON.stringify({ path: "items.js:fill", args: [{ from: 0, count: 1 }] });
  const refused = (await (await post(`${url}/api/mutation`, body)).json()) as Message;
  assert.equal(
    refused.errorMessage,
    "Could not find public function for 'items:fill'. Did you forget to run `npx convex dev` or `npx convex deploy`?",
  );
  for (const key of ["Convex wrong", `Convex ${KEY}x`]) {
    const response = await post(`${url}/api/mutation`, body, { Authorization: key });
    assert.equal(response.status, 401);
    assert.equal(((await response.json()) as Message).code, "BadAdminKey");
  }
  const allowed = (await (await post(`${url}/api/mutation`, body, asAdmin)).json()) as Message;
  assert.equal(allowed.status, "success");
});

test("a token is refused, not ignored, while no provider is configured", async (t) => {
  const { url } = await serve(t);
  const body = JSON.stringify({ path: "items:list", args: {} });
  const payload = Buffer.from('{"iss":"https://clerk.test"}').toString("base64url");
  const response = await post(`${url}/api/query`, body, { Authorization: `Bearer e30.${payload}.x` });
  assert.equal(response.status, 401);
  assert.equal(((await response.json()) as Message).code, "NoAuthProvider");
});

test("a function is called by its own kind", async (t) => {
  const { url } = await serve(t);
  const body = JSON.stringify({ path: "items:add", args: { rank: 1, name: "one" } });
  const answer = (await (await post(`${url}/api/query`, body)).json()) as Message;
  assert.equal(answer.errorMessage, "Trying to execute items:add as Query, but it is defined as Mutation.");
  assert.deepEqual(await httpClient(url).query(query("list"), {}), []);
});

test("garbage is refused with an error of Convex's form, without a quote", async (t) => {
  const { url } = await serve(t);
  const call = (fields: object) => JSON.stringify({ path: "items:list", args: {}, ...fields });
  const refused: [string, number, string, Promise<Response>][] = [
    ["not JSON", 400, "BadJsonBody", post(`${url}/api/query`, "{secret")],
    ["no object", 400, "BadJsonBody", post(`${url}/api/query`, "null")],
    [
      "not UTF-8",
      400,
      "BadJsonBody",
      fetch(`${url}/api/query`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: Buffer.from(call({ args: { value: "\xff" } }), "latin1"),
      }),
    ],
    [
      "lone surrogate",
      400,
      "BadJsonBody",
      post(`${url}/api/query`, call({}).replace("{}", '{"value":"secret\\ud800"}')),
    ],
    ["no path", 400, "BadJsonBody", post(`${url}/api/query`, call({ path: 1 }))],
    ["args: a number", 400, "BadJsonBody", post(`${url}/api/query`, call({ args: 1 }))],
    ["args: two", 400, "BadJsonBody", post(`${url}/api/query`, call({ args: [{}, {}] }))],
    ["args: an array in an array", 400, "BadJsonBody", post(`${url}/api/query`, call({ args: [[]] }))],
    ["format", 400, "BadFormat", post(`${url}/api/query`, call({ format: "xml" }))],
    [
      "content type",
      400,
      "BadJsonBody",
      post(`${url}/api/query`, call({}), { "Content-Type": "text/plain" }),
    ],
    [
      "authorization",
      400,
      "InvalidAuthHeader",
      post(`${url}/api/query`, call({}), { Authorization: "secret" }),
    ],
    ["path", 404, "NotFound", post(`${url}/api/secret`, call({}))],
    ["method", 405, "MethodNotAllowed", fetch(`${url}/api/query`)],
    [
      "size",
      413,
      "RequestTooLarge",
      post(`${url}/api/query`, call({ args: { value: "x".repeat(40 * 1024 * 1024) } })),
    ],
  ];
  for (const [what, status, code, answer] of refused) {
    const response = await answer;
    const text = await response.text();
    assert.equal(response.status, status, what);
    assert.equal((JSON.parse(text) as Message).code, code, what);
    assert.ok(!text.includes("secret"), what);
  }
  const bad = (await (
    await post(`${url}/api/query`, call({ path: "items:values", args: { value: { $secret: 1 } } }))
  ).json()) as Message;
  assert.equal(bad.errorMessage, "The arguments of 'items:values' are not Convex values.");
});

test("an escaped pair is no lone surrogate", async (t) => {
  const { url } = await serve(t);
  const body = '{"path":"items:values","args":{"value":"\\ud83d\\ude00 \\\\ud800"}}';
  const answer = (await (await post(`${url}/api/query`, body)).json()) as Message;
  assert.equal(answer.value.value, "😀 \\ud800");
});

test("a page from another port may call, with credentials and its own headers", async (t) => {
  const { url } = await serve(t);
  const origin = "http://localhost:5173";
  const headers = {
    Origin: origin,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,convex-client",
  };
  const preflight = await fetch(`${url}/api/query`, { method: "OPTIONS", headers });
  assert.equal(preflight.status, 200);
  assert.equal(preflight.headers.get("access-control-allow-headers"), "authorization,convex-client");
  assert.equal(preflight.headers.get("access-control-allow-methods"), "POST");
  for (const response of [preflight, await post(`${url}/api/query`, "x", { Origin: origin })]) {
    assert.equal(response.headers.get("access-control-allow-origin"), origin);
    assert.equal(response.headers.get("access-control-allow-credentials"), "true");
  }
});

test("/version answers", async (t) => {
  const { url } = await serve(t);
  assert.equal((await fetch(`${url}/version`)).status, 200);
});

test("/local/clear empties all tables for the deploy key only, and subscribers see it", async (t) => {
  const { url } = await serve(t);
  const convex = client(t, url);
  let names: string[] = [];
  convex.onUpdate(query("list"), {}, (value: string[]) => (names = value));
  await convex.mutation(mutation("add"), { rank: 1, name: "one" });
  assert.equal((await post(`${url}/local/clear`, "")).status, 401);
  assert.deepEqual(names, ["one"]);
  assert.equal((await post(`${url}/local/clear`, "", asAdmin)).status, 200);
  await until(() => names.length === 0);
});

test("it listens only on 127.0.0.1", async (t) => {
  const { url } = await serve(t);
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const socket = connect({ host: "127.0.0.2", port: Number(new URL(url).port) }, () => resolve(null));
    socket.on("error", resolve);
  });
  assert.equal(error?.code, "ECONNREFUSED");
});

test("a busy port is an error", async (t) => {
  const { url } = await serve(t);
  const port = Number(new URL(url).port);
  await assert.rejects(startServer({ engine, deployKey: KEY, port }), { code: "EADDRINUSE" });
});

// The official clients over the websocket

test("the official client sees its own write when its mutation is done", async (t) => {
  const convex = client(t, (await serve(t)).url);
  const seen: string[][] = [];
  convex.onUpdate(query("list"), {}, (names: string[]) => seen.push(names));
  await convex.mutation(mutation("add"), { rank: 2, name: "two" });
  assert.deepEqual(seen.at(-1), ["two"]);
  assert.equal(await convex.action(action("addTwo"), {}), "hello");
  await until(() => seen.at(-1)?.length === 3);
  await assert.rejects(convex.mutation(mutation("refuse"), {}), ConvexError);
});

test("a subscriber gets the error of a failed query, and later its result", async (t) => {
  const { url } = await serve(t);
  const convex = client(t, url);
  const seen: unknown[] = [];
  convex.onUpdate(
    query("fail"),
    {},
    (value) => seen.push(value),
    (error) => seen.push((error as ConvexError<Value>).data),
  );
  await until(() => seen.length === 1);
  await convex.mutation(mutation("add"), { rank: 1, name: "one" });
  await post(`${url}/local/clear`, "", asAdmin);
  await until(() => seen.length === 3);
  assert.deepEqual(seen, ["none", { items: 1 }, "none"]);
});

test("a reactive page loses and doubles no row while rows are inserted before it", async (t) => {
  const { url } = await serve(t);
  const convex = client(t, url);
  for (const rank of [10, 20, 30, 40, 50, 60])
    await convex.mutation(mutation("add"), { rank, name: String(rank) });
  let result: { results: { name: string }[]; status: string; loadMore: (count: number) => boolean } | null =
    null;
  const names = () => result?.results.map(({ name }) => name);
  convex.onPaginatedUpdate_experimental(
    query("page"),
    {},
    { initialNumItems: 2 },
    (value) => (result = value as never),
  );
  await until(() => names()?.length === 2);
  result!.loadMore(2);
  await until(() => names()?.length === 4);
  for (const rank of [9, 19, 29]) await convex.mutation(mutation("add"), { rank, name: String(rank) });
  await until(() => names()?.length === 7);
  assert.deepEqual(names(), ["9", "10", "19", "20", "29", "30", "40"]);
  result!.loadMore(2);
  await until(() => names()?.length === 9);
  assert.deepEqual(names()?.slice(-2), ["50", "60"]);
});

test("the official client continues after a restart of the server", async (t) => {
  const first = await startServer({ engine, deployKey: KEY, port: 0 });
  const convex = client(t, first.url);
  let seen: string[] | null = null;
  convex.onUpdate(query("list"), {}, (names: string[]) => (seen = names));
  await until(() => seen !== null);
  await first.close();
  await serve(t, { port: Number(new URL(first.url).port) });
  await convex.mutation(mutation("add"), { rank: 1, name: "after" });
  assert.deepEqual(seen, ["after"]);
});

// The protocol

test("versions follow each other from zero, and timestamps never go back", async (t) => {
  const { url } = await serve(t);
  const peer = await new Peer(t, url, "/api/1.48.0/sync").connect();
  peer.add(0, "items.js:list");
  peer.add(1, "items:others");
  peer.send({ type: "Mutation", requestId: 0, udfPath: "items:add", args: [{ rank: 1, name: "one" }] });
  const response = await peer.take("MutationResponse");
  peer.send({ type: "Mutation", requestId: 1, udfPath: "items:addOther", args: [{ name: "x" }] });
  assert.ok(ts((await peer.take("MutationResponse")).ts) > ts(response.ts));
  assert.deepEqual(
    [response.requestId, response.success, response.result, response.logLines],
    [0, true, 1, []],
  );
  await until(() => peer.of("Transition").some(({ endVersion }) => ts(endVersion.ts) >= ts(response.ts)));
  let version = { querySet: 0, identity: 0, ts: "AAAAAAAAAAA=" };
  for (const { startVersion, endVersion } of peer.of("Transition")) {
    assert.deepEqual(startVersion, version);
    assert.ok(ts(endVersion.ts) >= ts(version.ts));
    version = endVersion;
  }
  assert.equal(version.querySet, 2);
  assert.ok(ts(version.ts) >= BigInt(Date.now() - 60_000) * 1_000_000n, "in nanoseconds of the wall clock");
  const updates = peer.of("Transition").flatMap(({ modifications }) => modifications as Message[]);
  assert.deepEqual(updates.filter(({ queryId }) => queryId === 0).at(-1)?.value, ["one"]);
});

test("the clock does not go back behind what a client has seen", async (t) => {
  const { url } = await serve(t);
  const bytes = Buffer.alloc(8);
  const seen = BigInt(Date.now() + 3_600_000) * 1_000_000n;
  bytes.writeBigUInt64LE(seen);
  const peer = await new Peer(t, url).connect({ maxObservedTimestamp: bytes.toString("base64") });
  peer.add(0, "items:list");
  assert.ok(ts((await peer.take("Transition")).endVersion.ts) >= seen);
  const liar = await new Peer(t, url).connect({
    maxObservedTimestamp: Buffer.alloc(8, 255).toString("base64"),
  });
  liar.add(0, "items:list");
  assert.ok(ts((await liar.take("Transition")).endVersion.ts) < seen + 86_400_000_000_000n);
});

test("a transition follows every mutation and action, also one that failed or changed nothing", async (t) => {
  const peer = await new Peer(t, (await serve(t)).url).connect();
  for (const [type, udfPath] of [
    ["Mutation", "items:refuse"],
    ["Mutation", "no:such"],
    ["Action", "items:list"],
  ] as const) {
    peer.send({ type, requestId: 1, udfPath, args: [{}] });
    const response = await peer.take(`${type}Response`);
    assert.equal(response.success, false, udfPath);
    assert.equal(typeof response.result, "string");
    assert.equal(response.errorData, udfPath === "items:refuse" ? "no" : undefined);
    assert.deepEqual((await peer.take("Transition")).modifications, []);
  }
});

test("queries can be added, removed and asked for again with their journal", async (t) => {
  const { url } = await serve(t);
  for (const rank of [10, 20, 30])
    await httpClient(url).mutation(mutation("add"), { rank, name: String(rank) });
  const paginationOpts = { cursor: null, numItems: 2, id: 1 };
  const names = ({ modifications: [update] }: Message) => update.value.page.map(({ name }: Message) => name);
  const peer = await new Peer(t, url).connect();
  peer.add(0, "items:page", { paginationOpts });
  const first = await peer.take("Transition");
  assert.deepEqual(names(first), ["10", "20"]);
  const journal = first.modifications[0].journal as string;
  assert.equal(typeof journal, "string");
  peer.send({
    type: "ModifyQuerySet",
    baseVersion: 1,
    newVersion: 2,
    modifications: [{ type: "Remove", queryId: 0 }],
  });
  assert.deepEqual((await peer.take("Transition")).modifications, [{ type: "QueryRemoved", queryId: 0 }]);
  await httpClient(url).mutation(mutation("add"), { rank: 15, name: "15" });
  assert.equal(peer.of("Transition").length, 0, "a removed query sends no result");
  peer.add(2, "items:page", { paginationOpts }, journal);
  assert.deepEqual(names(await peer.take("Transition")), ["10", "15", "20"]);
  const other = await new Peer(t, url).connect();
  other.add(0, "items:page", { paginationOpts });
  assert.deepEqual(names(await other.take("Transition")), ["10", "15"], "another's journal is not shared");
});

test("a query without subscribers is removed", async (t) => {
  const counted = counting();
  const peer = await new Peer(t, (await serve(t, { engine: counted.engine })).url).connect();
  for (const version of [0, 2]) {
    peer.add(version, "items:list");
    await peer.take("Transition");
    const modifications = [{ type: "Remove", queryId: version }];
    peer.send({ type: "ModifyQuerySet", baseVersion: version + 1, newVersion: version + 2, modifications });
    await peer.take("Transition");
  }
  assert.equal(counted.runs.get("items:list"), 2);
});

test("an internal query exists only for a session with the key", async (t) => {
  const internal = stubEngine({ "a:b": { kind: "query", run: async () => ({ value: "secret" }) } });
  internal.describe = () => ({ kind: "query", visibility: "internal", args: null, returns: null });
  const { url } = await serve(t, { engine: internal });
  const peer = await new Peer(t, url).connect();
  peer.add(0, "a:b");
  assert.equal((await peer.take("Transition")).modifications[0].type, "QueryFailed");
  peer.send({ type: "Authenticate", tokenType: "Admin", value: KEY, baseVersion: 0 });
  const allowed = await peer.take("Transition");
  assert.equal(allowed.modifications[0].value, "secret");
  assert.equal(allowed.endVersion.identity, 1);
  const stranger = await new Peer(t, url).connect();
  stranger.add(0, "a:b");
  assert.equal((await stranger.take("Transition")).modifications[0].type, "QueryFailed");
  peer.send({ type: "Authenticate", tokenType: "None", baseVersion: 1 });
  assert.equal((await peer.take("Transition")).modifications[0].type, "QueryFailed");
});

test("a wrong key and a token are refused with AuthError", async (t) => {
  const { url } = await serve(t);
  for (const tokenType of ["Admin", "User"]) {
    const peer = await new Peer(t, url).connect();
    peer.send({ type: "Authenticate", tokenType, value: "wrong", baseVersion: 0 });
    const error = await peer.take("AuthError");
    assert.deepEqual([error.baseVersion, error.authUpdateAttempted], [0, true]);
    await until(() => peer.closed === 1008);
  }
});

test("a bad message ends its session with FatalError, and no other", async (t) => {
  const { url } = await serve(t);
  const good = await new Peer(t, url).connect();
  const modify = { type: "ModifyQuerySet", baseVersion: 0, newVersion: 1 };
  const add = { type: "Add", queryId: 0, udfPath: "items:list", args: [{}] };
  const bad: unknown[] = [
    "{secret",
    "[]",
    '"\\ud800"',
    { type: "Secret" },
    { type: "Connect" },
    { ...modify, baseVersion: 1, modifications: [] },
    { ...modify, newVersion: 0, modifications: [] },
    { ...modify },
    { ...modify, modifications: [1] },
    { ...modify, modifications: [{ ...add, type: "Change" }] },
    { ...modify, modifications: [{ ...add, queryId: -1 }] },
    { ...modify, modifications: [{ ...add, udfPath: 1 }] },
    { ...modify, modifications: [{ ...add, args: {} }] },
    { ...modify, modifications: [{ ...add, args: [{}, {}] }] },
    { ...modify, modifications: [{ ...add, journal: 1 }] },
    { ...modify, modifications: [add, add] },
    { ...modify, modifications: [{ type: "Remove", queryId: 7 }] },
    { type: "Mutation", requestId: "1", udfPath: "items:add", args: [{}] },
    { type: "Authenticate", tokenType: "Magic", baseVersion: 0 },
    { type: "Authenticate", tokenType: "None", baseVersion: 5 },
    { type: "Authenticate", tokenType: "Admin", value: KEY, baseVersion: 0, impersonating: "secret" },
  ];
  for (const message of bad) {
    const peer = await new Peer(t, url).connect();
    peer.send(message);
    const error = await peer.take("FatalError");
    assert.ok(!String(error.error).toLowerCase().includes("secret"), String(error.error));
    await until(() => peer.closed !== null);
  }
  const early = new Peer(t, url);
  await until(() => early.socket.readyState === WebSocket.OPEN);
  early.send({ ...modify, modifications: [] });
  await early.take("FatalError");
  const late = await new Peer(t, url).connect({ maxObservedTimestamp: "AAA=" });
  await late.take("FatalError");
  const binary = await new Peer(t, url).connect();
  binary.socket.send(Buffer.from("{}"));
  await binary.take("FatalError");
  good.send({ type: "Event", eventType: "x", event: {} });
  good.add(0, "items:list");
  await good.take("Transition");
});

test("only the two paths of the protocol are upgraded", async (t) => {
  const peer = new Peer(t, (await serve(t)).url, "/api/sync/more");
  await until(() => peer.closed !== null);
});

test("a silent connection is pinged", async (t) => {
  const peer = await new Peer(t, (await serve(t, { pingInterval: 10 })).url).connect();
  await until(() => peer.of("Ping").length > 1);
});

test("mutations of one session run one after the other, actions at the same time", async (t) => {
  const gates = [deferred(), deferred()];
  const started: Value[] = [];
  const run = async ({ args }: Call) => {
    const number = (args as { number: number }).number;
    started.push(number);
    await gates[number]!.promise;
    return { value: number };
  };
  const { url } = await serve(t, {
    engine: stubEngine({ "a:m": { kind: "mutation", run }, "a:a": { kind: "action", run } }),
  });
  const peer = await new Peer(t, url).connect();
  const ask = (type: string, udfPath: string) => {
    for (const number of [0, 1]) peer.send({ type, requestId: number, udfPath, args: [{ number }] });
  };
  ask("Action", "a:a");
  await until(() => started.length === 2);
  gates[1]!.resolve();
  assert.equal((await peer.take("ActionResponse")).requestId, 1);
  gates[0]!.resolve();
  await peer.take("ActionResponse");
  started.length = 0;
  gates[0] = deferred();
  ask("Mutation", "a:m");
  await until(() => started.length === 1);
  await httpClient(url).action(makeFunctionReference<"action">("a:a"), { number: 1 });
  assert.deepEqual(started, [0, 1], "the action, while the first mutation runs");
  gates[0].resolve();
  assert.equal((await peer.take("MutationResponse")).requestId, 0);
  assert.equal((await peer.take("MutationResponse")).requestId, 1);
  assert.deepEqual(started, [0, 1, 1]);
});

test("queued calls of a closed connection do not run", async (t) => {
  const gate = deferred();
  let started = 0;
  const run = async () => {
    started += 1;
    await gate.promise;
    return {};
  };
  const { url } = await serve(t, {
    engine: stubEngine({ "a:m": { kind: "mutation", run }, "a:q": { kind: "query", run: async () => ({}) } }),
  });
  const peer = await new Peer(t, url).connect();
  for (const requestId of [0, 1]) peer.send({ type: "Mutation", requestId, udfPath: "a:m", args: [{}] });
  await until(() => started === 1);
  peer.socket.terminate();
  const other = await new Peer(t, url).connect();
  other.add(0, "a:q");
  await other.take("Transition");
  gate.resolve();
  other.send({ type: "Mutation", requestId: 0, udfPath: "a:m", args: [{}] });
  await other.take("MutationResponse");
  assert.equal(started, 2);
});

test("messages beyond the limit of a session wait, and are all answered", async (t) => {
  const gate = deferred();
  const run = async () => {
    await gate.promise;
    return {};
  };
  const { url } = await serve(t, { engine: stubEngine({ "a:a": { kind: "action", run } }) });
  const peer = await new Peer(t, url).connect();
  for (let requestId = 0; requestId < 3_000; requestId += 1) {
    peer.send({ type: "Action", requestId, udfPath: "a:a", args: [{ text: "x".repeat(200) }] });
  }
  setTimeout(gate.resolve, 50);
  await until(() => peer.of("ActionResponse").length === 3_000);
});

// Reactivity

/** The real engine, counting how often each query runs. */
function counting() {
  const runs = new Map<string, number>();
  const run = (call: Call) => {
    runs.set(call.path, (runs.get(call.path) ?? 0) + 1);
    return engine.run(call);
  };
  return { runs, engine: { ...engine, run } };
}

test("a commit reruns only what read a written table, and an equal result is not sent", async (t) => {
  const counted = counting();
  const { url } = await serve(t, { engine: counted.engine });
  const peer = await new Peer(t, url).connect();
  peer.add(0, "items:list");
  peer.add(1, "items:others");
  peer.add(2, "items:top", { after: 100 });
  await until(() => peer.of("Transition").some(({ endVersion }) => endVersion.querySet === 3));
  peer.received.length = 0;
  counted.runs.clear();
  await httpClient(url).mutation(mutation("add"), { rank: 1, name: "one" });
  const { modifications } = await peer.take("Transition");
  assert.deepEqual(
    modifications.map(({ queryId }: Message) => queryId),
    [0],
  );
  await httpClient(url).mutation(mutation("addOther"), { name: "x" });
  await peer.take("Transition");
  counted.runs.delete("items:add");
  counted.runs.delete("items:addOther");
  assert.deepEqual(Object.fromEntries(counted.runs), { "items:list": 1, "items:top": 1, "items:others": 1 });
});

test("fifty dashboards share their queries, and many writes become few reruns", async (t) => {
  const counted = counting();
  const { url } = await serve(t, { engine: counted.engine });
  await engine.run({ path: "items:fill", args: { from: 0, count: 5_000 }, identity: null });
  const peers = await Promise.all(Array.from({ length: 50 }, () => new Peer(t, url).connect()));
  for (const peer of peers) {
    peer.add(0, "items:page", { paginationOpts: { cursor: null, numItems: 50, id: 1 } });
    peer.add(1, "items:top", { after: -10_000 });
    peer.add(2, "items:others");
  }
  const at = (peer: Peer) =>
    peer.of("Transition").at(-1)?.endVersion as { querySet: number; ts: string } | undefined;
  await until(() => peers.every((peer) => at(peer)?.querySet === 3));
  assert.equal(counted.runs.get("items:others"), 1);
  counted.runs.clear();
  const add = (rank: number) =>
    httpClient(url).mutation(mutation("add"), { rank: -rank, name: `new ${String(rank)}` });
  for (let rank = 1; rank <= 50; rank += 1) await add(rank);
  await Promise.all(Array.from({ length: 200 }, (_, index) => add(51 + index)));
  const newest = (peer: Peer) =>
    peer
      .of("Transition")
      .flatMap((each) => each.modifications as Message[])
      .findLast(({ queryId }) => queryId === 1)?.value[0] as string;
  await until(() => peers.every((peer) => newest(peer) === "new 250"));
  // At most one run for each of 250 commits; a run of its own for each of 50 sessions would be 12,500.
  for (const path of ["items:top", "items:page"]) {
    const runs = counted.runs.get(path) ?? 0;
    assert.ok(runs <= 250, `${path} ran ${String(runs)} times`);
  }
  assert.equal(counted.runs.get("items:others"), undefined, "no commit wrote its table");
});

test("a query that waited behind a mutation is not run again for its commit, one that did not is", async (t) => {
  let runs = 0;
  const gates = [deferred(), deferred(), deferred()];
  const stub = stubEngine({
    "a:q": {
      kind: "query",
      async run() {
        const run = runs++;
        await gates[run]?.promise;
        return { value: runs, reads: new Set(["t"]), snapshot: run === 0 ? 1 : 0 };
      },
    },
    "a:other": { kind: "query", run: async () => ({}) },
  });
  const { url } = await serve(t, { engine: stub });
  const peer = await new Peer(t, url).connect();
  peer.add(0, "a:q");
  await until(() => runs === 1);
  stub.commit("t"); // 1: seen by the first run
  gates[0]!.resolve();
  assert.equal((await peer.take("Transition")).modifications[0].value, 1);
  peer.add(1, "a:other");
  await peer.take("Transition");
  assert.equal(runs, 1);
  stub.commit("t"); // 2: a second run begins
  await until(() => runs === 2);
  for (let commit = 3; commit < 10; commit += 1) stub.commit("t"); // which has not seen these
  gates[1]!.resolve();
  assert.equal((await peer.take("Transition")).modifications[0].value, 2);
  await until(() => runs === 3);
  gates[2]!.resolve();
  assert.equal((await peer.take("Transition")).modifications[0].value, 3);
  assert.equal(runs, 3);
});

test("a query after a commit does not share the run of an earlier query", async (t) => {
  const gates = [deferred(), deferred()];
  let runs = 0;
  const stub = stubEngine({
    "a:q": {
      kind: "query",
      async run() {
        const run = runs++;
        await gates[run]!.promise;
        return { value: run, reads: new Set(["t"]), snapshot: run };
      },
    },
  });
  const convexes = await serve(t, { engine: stub });
  const before = await new Peer(t, convexes.url).connect();
  before.add(0, "a:q");
  await until(() => runs === 1);
  stub.commit("other");
  const later = await new Peer(t, convexes.url).connect();
  later.add(0, "a:q");
  gates[0]!.resolve();
  await until(() => runs === 2);
  gates[1]!.resolve();
  assert.equal((await before.take("Transition")).modifications[0].value, 0);
  assert.equal((await later.take("Transition")).modifications[0].value, 1);
});

test("a client that does not read is disconnected, and the others continue", async (t) => {
  const big = "x".repeat(4 * 1024 * 1024);
  let version = 0;
  const stub = stubEngine({
    "a:q": {
      kind: "query",
      run: async () => ({ value: big + String(version), reads: new Set(["t"]), snapshot: version }),
    },
    "a:small": {
      kind: "query",
      run: async () => ({ value: version, reads: new Set(["t"]), snapshot: version }),
    },
  });
  const { url } = await serve(t, { engine: stub });
  const slow = await new Peer(t, url).connect();
  slow.add(0, "a:q");
  await slow.take("Transition");
  slow.socket.pause();
  const fast = await new Peer(t, url).connect();
  fast.add(0, "a:small");
  await fast.take("Transition");
  for (let commit = 0; commit < 40; commit += 1) {
    version = stub.commit("t");
    assert.equal((await fast.take("Transition")).modifications[0].value, version);
  }
  slow.socket.resume();
  await until(() => slow.closed !== null);
  assert.ok(slow.of("Transition").length < 40);
});
