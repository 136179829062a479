import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";

import { readRows } from "../../../../clerk_convex/local/convex/backend/data.ts";
import { makeProject, startEngine, value } from "./helpers.ts";

function files(contents: Record<string, string | Uint8Array>): string {
  const folder = mkdtempSync(join(tmpdir(), "rows-"));
  after(() => rmSync(folder, { recursive: true }));
  for (const [name, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

const PROJECT = {
  "schema.ts": `
    import { defineSchema, defineTable } from "convex/server";
    import { v } from "convex/values";
    export default defineSchema({
      people: defineTable({ name: v.string(), age: v.optional(v.int64()) }).index("by_name", ["name"]),
      teams: defineTable({ members: v.array(v.object({ person: v.id("people") })) }),
    });`,
  "people.ts": `
    import { queryGeneric as query } from "convex/server";
    export const all = query((ctx) => ctx.db.query("people").withIndex("by_name").collect());
    export const members = query(async (ctx) => {
      const team = await ctx.db.query("teams").unique();
      return Promise.all(team!.members.map(async ({ person }) => (await ctx.db.get("people", person))!.name));
    });`,
};

test("an export is read: rows keep their times, ids become this deployment's wherever they are", async () => {
  const folder = files({
    "_tables/documents.jsonl": '{"name":"people"}\n',
    "people/documents.jsonl":
      '{"_id":"k57a","_creationTime":1700000000000.5,"name":"Zoë","age":{"$integer":"BwAAAAAAAAA="}}\r\n' +
      '\n{"_id":"k57b","_creationTime":1600000000000,"name":"Ada"}',
    "teams/documents.jsonl":
      '{"_id":"j1","_creationTime":1,"members":[{"person":"k57b"},{"person":"k57a"}]}\n',
    "README.md": "not rows",
  });
  const engine = await startEngine({ functionsDir: makeProject(PROJECT) });
  await engine.load(readRows([folder]));
  const people = await value(engine, "people:all");
  assert.deepEqual(
    people.map(({ name, age, _creationTime }: { [field: string]: unknown }) => [name, age, _creationTime]),
    [
      ["Ada", undefined, 1600000000000],
      ["Zoë", 7n, 1700000000000.5],
    ],
  );
  assert.deepEqual(await value(engine, "people:members"), ["Ada", "Zoë"]);
  assert.deepEqual(
    engine.rows("people").map((row) => (row as { name: string }).name),
    ["Ada", "Zoë"],
  );
});

test("a file is a table; rows without ids and times get them, and thousands are read", async () => {
  const lines = Array.from({ length: 1201 }, (_, i) => JSON.stringify({ name: String(i).padStart(4, "0") }));
  const folder = files({ "people.jsonl": lines.join("\n"), "empty/people.jsonl": "" });
  const engine = await startEngine({ functionsDir: makeProject(PROJECT) });
  await engine.load(readRows([join(folder, "people.jsonl"), join(folder, "empty/people.jsonl")]));
  const people = (await value(engine, "people:all")) as { name: string; _creationTime: number }[];
  assert.equal(people.length, 1201);
  assert.ok(people.every(({ _creationTime: time }, i) => i === 0 || time > people[i - 1]!._creationTime));
});

test("a row that its table refuses is named by file and line, and none of its values", async () => {
  const engine = await startEngine({ functionsDir: makeProject(PROJECT) });
  const folder = files({
    "people.jsonl": '{"name":"fine"}\n{"name":5,"age":"secret"}\n',
    "cities.jsonl": '{"name":"x"}',
    "odd/people.jsonl": '{"name":"x","$secret":1}',
  });
  const load = (name: string) => engine.load(readRows([join(folder, name)]));
  await assert.rejects(load("people.jsonl"), ({ message }: Error) => {
    assert.ok(message.startsWith(`${folder}/people.jsonl:2: `), message);
    assert.ok(!message.includes("secret") && !message.includes("\n"), message);
    return true;
  });
  await assert.rejects(load("cities.jsonl"), {
    message: `${folder}/cities.jsonl:1: the schema has no table "cities".`,
  });
});

test("lines and files that cannot be read are named", () => {
  const folder = files({
    "broken.jsonl": '{"a":1}\n{secret',
    "list.jsonl": "\n[1]",
    "encoded.jsonl": '{"a":{"$secret":1}}',
    "latin.jsonl": new Uint8Array([0x22, 0xe9, 0x22]),
    "rows.csv": "a,b",
    "nothing/x.txt": "",
  });
  for (const [name, message] of [
    ["broken.jsonl", ":2: this line is not the JSON of a Convex document."],
    ["encoded.jsonl", ":1: this line is not the JSON of a Convex document."],
    ["list.jsonl", ":2: a line must be the JSON object of one document."],
    ["latin.jsonl", " cannot be read: ERR_ENCODING_INVALID_ENCODED_DATA."],
    ["missing.jsonl", " cannot be read: there is no such file."],
    ["rows.csv", " is no folder and no TABLE.jsonl. Unzip an export of Convex first, and name its folder."],
    ["nothing", " has no rows: neither TABLE/documents.jsonl nor TABLE.jsonl is there."],
  ] as const) {
    assert.throws(() => readRows([join(folder, name)]), { message: join(folder, name) + message });
  }
});
