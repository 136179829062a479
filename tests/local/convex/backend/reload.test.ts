import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { ConvexClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { WebSocket } from "ws";

import type { Engine } from "../../../../clerk_convex/local/convex/backend/engine.ts";
import { startServer } from "../../../../clerk_convex/local/convex/backend/server.ts";
import { watchFolder } from "../../../../clerk_convex/local/convex/backend/watch.ts";
import { makeProject, startEngine, until, value } from "./helpers.ts";

const schema = (fields: string, index = "name"): string => `
  import { defineSchema, defineTable } from "convex/server";
  import { v } from "convex/values";
  export default defineSchema({ notes: defineTable({ ${fields} }).index("by_it", ["${index}"]) });`;

const functions = (greeting: string): string => `
  import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
  export const greet = query(() => "${greeting}");
  export const add = mutation((ctx, fields) => ctx.db.insert("notes", fields));
  export const names = query(async (ctx) =>
    (await ctx.db.query("notes").withIndex("by_it").collect()).map(({ name }) => name));`;

async function project(): Promise<{ engine: Engine; write: (path: string, text: string) => void }> {
  const functionsDir = makeProject({
    "schema.ts": schema("name: v.string()"),
    "notes.ts": functions("hello"),
  });
  const engine = await startEngine({ functionsDir });
  await value(engine, "notes:add", { name: "b" });
  await value(engine, "notes:add", { name: "a" });
  return { engine, write: (path, text) => writeFileSync(join(functionsDir, path), text) };
}

test("changed functions, new ones, a new schema and new crons count at once, and the data stays", async () => {
  const { engine, write } = await project();
  assert.equal(await value(engine, "notes:greet"), "hello");
  assert.deepEqual(await value(engine, "notes:names"), ["a", "b"]);
  write(
    "notes.ts",
    functions("good day") +
      `export const open = query(async (ctx) =>
         (await ctx.db.query("notes").withIndex("by_it", (q) => q.eq("done", false)).collect()).length);`,
  );
  write("schema.ts", schema("name: v.string(), done: v.optional(v.boolean())", "done"));
  write(
    "crons.ts",
    `import { anyApi, cronJobs } from "convex/server";
     const crons = cronJobs();
     crons.daily("tidy", { hourUTC: 1, minuteUTC: 2 }, anyApi.notes.greet as any);
     export default crons;`,
  );
  const { providers } = engine;
  await engine.reload();
  assert.equal(await value(engine, "notes:greet"), "good day");
  await value(engine, "notes:add", { name: "c", done: false });
  assert.deepEqual(await value(engine, "notes:names"), ["b", "a", "c"]); // the index has another field now
  assert.equal(await value(engine, "notes:open"), 1);
  assert.deepEqual(
    engine.crons().map(({ name }) => name),
    ["tidy"],
  );
  assert.notEqual(engine.providers, providers);
});

test("what cannot be loaded changes nothing, and is one line that names it", async () => {
  const { engine, write } = await project();
  const commits = engine.commits();
  for (const [path, text, message] of [
    ["notes.ts", "export const greet = ;", /^The Convex functions cannot be loaded: notes\.ts:1:22: .*$/],
    ["notes.ts", 'throw new Error("no");', /^The Convex functions cannot be loaded: notes\.ts: Error: no$/],
    ["schema.ts", "export default { tables: { x: {} } };", /^The Convex functions cannot be loaded: schema: .*$/],
    [
      "schema.ts",
      schema("name: v.boolean()"),
      /^Schema validation failed\. The document \d+notes does not match the schema of "notes": .*Path: \.name$/,
    ],
  ] as [string, string, RegExp][]) {
    write("notes.ts", functions("never"));
    write("schema.ts", schema("name: v.string()"));
    write(path, text);
    await assert.rejects(engine.reload(), { message }, text);
    assert.equal(await value(engine, "notes:greet"), "hello");
    assert.deepEqual(await value(engine, "notes:names"), ["a", "b"]);
  }
  assert.equal(engine.commits(), commits);
});

test("subscribers see what the new functions return, also those whose query read no table", async (t) => {
  const { engine, write } = await project();
  const server = await startServer({ engine, deployKey: "local|key", port: 0 });
  t.after(() => server.close());
  const client = new ConvexClient(server.url, { webSocketConstructor: WebSocket as never, logger: false });
  t.after(() => client.close());
  const seen: unknown[] = [];
  client.onUpdate(makeFunctionReference<"query">("notes:greet"), {}, (greeting) => seen.push(greeting));
  await until(() => seen.length === 1);
  write("notes.ts", functions("good day"));
  await engine.reload();
  await until(() => seen.length === 2);
  assert.deepEqual(seen, ["hello", "good day"]);
});

function folder(t: TestContext): { path: string; write: (name: string, text: string) => void } {
  const path = makeProject({ "a.ts": "", "deep/b.ts": "" });
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return {
    path,
    write(name, text) {
      const file = join(path, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    },
  };
}

test("a folder is watched in all depths: several changes are one, and one that comes meanwhile is not lost", async (t) => {
  const { path, write } = folder(t);
  let calls = 0;
  let finish = (): void => undefined;
  t.after(
    watchFolder(path, async () => {
      calls += 1;
      await new Promise<void>((done) => (finish = done));
    }),
  );
  await new Promise((done) => setTimeout(done, 50)); // until the folders inside are watched
  write("_generated/api.js", "1");
  write(".hidden.ts", "1");
  write("a.ts", "1");
  write("deep/b.ts", "1");
  await until(() => calls === 1);
  write("deep/b.ts", "2");
  await new Promise((done) => setTimeout(done, 250)); // longer than it waits for quiet
  assert.equal(calls, 1);
  finish();
  await until(() => calls === 2);
  finish();
});

test("generated and hidden files do not count, and nothing after the end", async (t) => {
  const { path, write } = folder(t);
  let calls = 0;
  const stop = watchFolder(path, () => Promise.resolve(void (calls += 1)));
  await new Promise((done) => setTimeout(done, 50));
  write("_generated/api.js", "1");
  write(".swap.ts", "1");
  await new Promise((done) => setTimeout(done, 250));
  write("a.ts", "1");
  stop();
  await new Promise((done) => setTimeout(done, 250));
  assert.equal(calls, 0);
});
