// What the Convex CLI asks of a deployment, and what the local Convex says to what it does not have.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startServer } from "../../../../clerk_convex/local/convex/backend/server.ts";
import { failure, makeProject, startEngine, value, type Message } from "./helpers.ts";

const KEY = "local|0123456789abcdef";
const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const FUNCTIONS = makeProject({
  "schema.ts": `
    import { defineSchema, defineTable } from "convex/server";
    import { v } from "convex/values";
    export default defineSchema({ notes: defineTable({ text: v.string() }), empty: defineTable({}) });`,
  "notes.ts": `
    import { internalMutationGeneric, mutationGeneric, queryGeneric } from "convex/server";
    import { v } from "convex/values";
    export const add = internalMutationGeneric({
      args: { text: v.string() },
      returns: v.null(),
      handler: async (ctx, { text }) => void (await ctx.db.insert("notes", { text })),
    });
    export const who = queryGeneric(async (ctx) => (await ctx.auth.getUserIdentity())?.subject ?? "nobody");
    export const fail = mutationGeneric(() => { throw new Error("as told"); });`,
  "http.ts": 'import { httpRouter } from "convex/server"; export default httpRouter();',
});

const engine = await startEngine({ functionsDir: FUNCTIONS, env: { B: "2", A: "1" } });
const server = await startServer({ engine, deployKey: KEY, port: 0 });
after(() => server.close());

function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(server.url + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Convex ${KEY}`, ...headers },
    body: JSON.stringify(body),
  });
}

async function ask(path: string, args: object = {}): Promise<Message> {
  return (await (await post("/api/query", { path, args })).json()) as Message;
}

function encoded(identity: unknown): string {
  return Buffer.from(JSON.stringify(identity)).toString("base64");
}

test("a function is called as what it is, and as the user that is named behind the key", async () => {
  const call = async (path: string, args = {}, key = KEY): Promise<Message> =>
    (await (
      await post("/api/function", { path, args }, { Authorization: `Convex ${key}` })
    ).json()) as Message;
  await engine.clear();
  assert.equal((await call("notes:add", { text: "one" })).status, "success");
  assert.equal(engine.rows("notes").length, 1);
  assert.equal((await call("notes:who")).value, "nobody");
  assert.equal((await call("notes:who", {}, `${KEY}:${encoded({ subject: "user_1" })}`)).value, "user_1");
  assert.match((await call("notes:none")).errorMessage, /^Could not find function for 'notes:none'/);
  const wrong = await post("/api/function", { path: "notes:who", args: {} }, { Authorization: `Convex ${KEY}:x` });
  assert.deepEqual([wrong.status, ((await wrong.json()) as Message).code], [400, "InvalidAuthHeader"]);
  const forged = await post("/api/function", { path: "notes:who", args: {} }, {
    Authorization: `Convex local|wrong:${encoded({ subject: "user_1" })}`,
  });
  assert.equal(forged.status, 401);
});

test("tables, rows, the environment and functions can be read with the key, and not without", async () => {
  await engine.clear();
  for (const text of ["a", "b", "c"]) await value(engine, "notes:add", { text });
  const tables = (await ask("_system/cli/tables")).value;
  assert.deepEqual(tables, { page: [{ name: "empty" }, { name: "notes" }], isDone: true, continueCursor: "" });
  const seen: string[] = [];
  let cursor: string | null = null;
  for (const rest of [2, 0]) {
    const args: object = { table: "notes", order: "desc", paginationOpts: { cursor, numItems: 2 } };
    const page: Message = (await ask("_system/cli/tableData", args)).value;
    assert.equal(page.isDone, rest === 0);
    seen.push(...page.page.map(({ text }: { text: string }) => text));
    cursor = page.continueCursor;
  }
  assert.deepEqual(seen, ["c", "b", "a"]);
  assert.equal((await ask("_system/cli/tableData", { table: "notes" })).value.page[0].text, "a");
  assert.deepEqual((await ask("_system/cli/queryEnvironmentVariables")).value, [
    { name: "A", value: "1" },
    { name: "B", value: "2" },
  ]);
  const one = (name: string) => ask("_system/cli/queryEnvironmentVariables:get", { name });
  assert.deepEqual([(await one("B")).value, (await one("C")).value], [{ name: "B", value: "2" }, null]);
  const spec = (await ask("_system/cli/modules:apiSpec")).value as Message[];
  assert.deepEqual(
    spec.find(({ identifier }) => identifier === "notes.js:add"),
    {
      functionType: "Mutation",
      identifier: "notes.js:add",
      visibility: { kind: "internal" },
      args: { type: "object", value: { text: { fieldType: { type: "string" }, optional: false } } },
      returns: { type: "null" },
    },
  );
  assert.equal((await ask("_system/cli/convexUrl:cloudUrl")).value, server.url);
  assert.deepEqual((await ask("_system/frontend/components:list")).value, []);
  assert.match((await ask("_system/cli/other")).errorMessage, /: the local Convex has no _system\/cli\/other/);
  const body = JSON.stringify({ path: "_system/cli/tableData", args: { table: "notes" } });
  const headers = { "Content-Type": "application/json" };
  const visitor = await fetch(`${server.url}/api/query`, { method: "POST", headers, body });
  assert.match(((await visitor.json()) as Message).errorMessage, /^Could not find public function/);
});

test("paths that only Convex has say what is missing, at once and in every version of the CLI", async () => {
  const cli = { "Convex-Client": "npm-cli-1.48.0" };
  for (const [path, headers, about] of [
    ["/api/deploy2/start_push", {}, "takes no pushed functions"],
    ["/api/stream_function_logs?cursor=0", {}, "keeps no logs"],
    ["/api/update_environment_variables", {}, "takes its environment at the start"],
    ["/api/export/request/zip", {}, "has no export"],
    ["/api/import/start_upload", {}, "has no import"],
    ["/api/run_test_function", {}, "runs no inline queries"],
    ["/api/storage/x", {}, "has no file storage"],
    ["/api/something_new", cli, "does not have what this command needs"],
  ] as const) {
    const answer = await post(path, {}, headers);
    const { code, message } = (await answer.json()) as Message;
    assert.deepEqual([answer.status, code], [403, "LocalConvexLacksThis"], path);
    assert.ok(message.startsWith(`The local Convex ${about}`), message);
    assert.equal(answer.headers.get("x-convex-deprecation-state"), "Deprecated");
    assert.equal(answer.headers.get("x-convex-deprecation-message"), message);
  }
  const component = await post("/api/function", { path: "a:b", args: {}, componentPath: "x" });
  assert.match(await component.text(), /The local Convex has no components/);
  const http = await fetch(`${server.url}/webhooks/stripe`);
  assert.equal(http.status, 501);
  assert.match(await http.text(), /The local Convex has no HTTP actions/);
  assert.equal((await fetch(`${server.url}/api/nothing`)).status, 404);
  assert.equal(await (await fetch(`${server.url}/instance_name`)).text(), "local");
});

test("functions that need what is not there fail with a sentence that names it", async () => {
  const functionsDir = makeProject({
    "lacking.ts": `
      import { actionGeneric as action, componentsGeneric, mutationGeneric as mutation } from "convex/server";
      const components = componentsGeneric() as any;
      export const url = mutation((ctx) => ctx.storage.getUrl("x" as any));
      export const upload = mutation((ctx) => ctx.storage.generateUploadUrl());
      export const remove = mutation((ctx) => ctx.storage.delete("x" as any));
      export const store = action((ctx) => ctx.storage.store(new Blob(["x"])));
      export const get = action((ctx) => ctx.storage.get("x" as any));
      export const near = action((ctx) => ctx.vectorSearch("a", "b", { vector: [1], limit: 1 }));
      export const count = mutation((ctx) => ctx.runQuery(components.counter.lib.count, {}));
      export const later = mutation((ctx) => ctx.scheduler.runAfter(0, components.counter.lib.count, {}));
      export const act = action((ctx) => ctx.runMutation(components.counter.lib.count, {}));
      export const missing = mutation((ctx) => ctx.runQuery("nothing:here" as any));`,
  });
  const lacking = await startEngine({ functionsDir });
  for (const [name, about] of [
    ...[
      ["url", "ctx.storage.getUrl"],
      ["upload", "ctx.storage.generateUploadUrl"],
      ["remove", "ctx.storage.delete"],
      ["store", "ctx.storage.store"],
      ["get", "ctx.storage.get"],
    ].map(([function_, call]) => [function_, `no file storage: ${call} cannot be used in it.`]),
    ["near", "no vector search: ctx.vectorSearch cannot be used in it."],
    ...["count", "later", "act"].map((name) => [
      name,
      'no components: functions of "counter" cannot be called in it.',
    ]),
  ] as [string, string][]) {
    const [first] = (await failure(lacking, `lacking:${name}`)).split("\n");
    assert.equal(first, `Uncaught Error: The local Convex has ${about}`);
  }
  assert.match(await failure(lacking, "lacking:missing"), /There is no module "nothing" among the functions/);
});

test('actions of a file with "use node" run', async () => {
  const functionsDir = makeProject({
    "hash.ts": `"use node";
      import { createHash } from "node:crypto";
      import { actionGeneric as action } from "convex/server";
      export const sha = action(async () => createHash("sha256").update("x").digest("hex").slice(0, 8));`,
  });
  assert.equal(await value(await startEngine({ functionsDir }), "hash:sha"), "2d711642");
});

const PACKAGE = JSON.stringify({ devDependencies: { convex: "*" } });
writeFileSync(join(dirname(FUNCTIONS), "package.json"), PACKAGE);

// The CLI itself, in the version that the project has and in the lowest that the functions need.
for (const place of ["", "tests/functions/templates/lowest"]) {
  const main = join(ROOT, place, "node_modules/convex/bin/main.js");
  test(`npx convex of ${place || "the project"}`, { skip: !existsSync(main) && "not installed" }, async () => {
    await engine.clear();
    await value(engine, "notes:add", { text: "one" });
    const cli = (...args: string[]): Promise<[number, string]> =>
      new Promise((resolve) => {
        const env = {
          PATH: process.env.PATH,
          HOME: dirname(FUNCTIONS),
          CONVEX_SELF_HOSTED_URL: server.url,
          CONVEX_SELF_HOSTED_ADMIN_KEY: KEY,
        };
        const options = { cwd: dirname(FUNCTIONS), env, timeout: 120_000 };
        const child = execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) =>
          resolve([Number(error?.code ?? 0), stdout + stderr]),
        );
        child.stdin?.end();
      });
    // Three at a time: more would only make each of them slower.
    const [who, data, environment] = await Promise.all([
      cli("run", "--identity", '{"subject": "user_1"}', "notes:who"),
      cli("data", "notes"),
      cli("env", "list"),
    ]);
    const [unknown, set, pushed] = await Promise.all([
      cli("run", "notes:none"),
      cli("env", "set", "A", "b"),
      cli("codegen"),
    ]);
    assert.deepEqual(who, [0, '"user_1"\n']);
    assert.match(data[1], /"one"/);
    assert.deepEqual(environment, [0, "A=1\nB=2\n"]);
    assert.match(unknown[1], /Could not find function for 'notes:none'[^]*notes:.*who/);
    assert.match(set[1], /The local Convex takes its environment at the start only\./);
    assert.match(pushed[1], /The local Convex takes no pushed functions/);
    assert.deepEqual([data[0], unknown[0], set[0], pushed[0]], [0, 1, 1, 1]);
  });
}
