import assert from "node:assert/strict";
import { test } from "node:test";

import { getConvexSize, type Value } from "convex/values";

import { makeProject, startEngine, value } from "./helpers.ts";

const SCHEMA = `
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  people: defineTable({ name: v.string(), team: v.optional(v.string()) })
    .index("by_name", ["name"])
    .index("by_team_and_name", ["team", "name"])
    .searchIndex("search_name", { searchField: "name" }),
});
`;

const FUNCTIONS = `
import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";
const id = v.id("people");
export const add = mutation({ args: { name: v.string() }, handler: (ctx, fields) => ctx.db.insert("people", fields) });
export const rename = mutation({
  args: { id, name: v.string() },
  handler: async (ctx, { id, name }) => { await ctx.db.patch(id, { name }); },
});
export const remove = mutation({ args: { id }, handler: async (ctx, { id }) => { await ctx.db.delete(id); } });
export const addAndRemove = mutation({
  args: {},
  handler: async (ctx) => { await ctx.db.delete(await ctx.db.insert("people", { name: "Ada" })); },
});
export const fail = mutation({
  args: {},
  handler: async (ctx) => { await ctx.db.insert("people", { name: "Ada" }); throw new Error("no"); },
});
export const all = query({ args: {}, handler: async (ctx) => (await ctx.db.query("people").collect()).length });
`;

const engine = await startEngine({ functionsDir: makeProject({ "schema.ts": SCHEMA, "people.ts": FUNCTIONS }) });

// The value of {_id, _creationTime, name: "Ada"}: 2 for the object; for each field its name, 1, and the value: 32 + 2,
// 9 and 3 + 2. In all 2 + 38 + 23 + 10 = 73. A document is a timestamp of 8, an id of 32 and the value.
const DOCUMENT = 40 + 73;
// An entry is a timestamp of 8, an index id of 16, the key, and 32 for the document. A key is the values, the time of
// creation of 9 (not in by_id), and the id of 34. The missing team is 1.
const BY_ID = 24 + 34 + 32;
const BY_CREATION_TIME = 24 + 9 + 34 + 32;
const BY_NAME = 24 + 5 + 9 + 34 + 32;
const BY_TEAM_AND_NAME = 24 + 1 + 5 + 9 + 34 + 32;
const ENTRIES = BY_ID + BY_CREATION_TIME + BY_NAME + BY_TEAM_AND_NAME;

function written(): [number, number, number] {
  const { documentsWritten, entriesWritten, bytesWritten } = engine.metered();
  return [documentsWritten, entriesWritten, bytesWritten];
}

test("documents and index entries are added up as the backend does", async () => {
  engine.metered();
  const id = (await value(engine, "people:add", { name: "Ada" })) as string;
  assert.deepEqual(written(), [1, 4, DOCUMENT + ENTRIES]);
  // A changed key is written, and its old one is deleted, without the 32. The replaced document adds 8.
  await value(engine, "people:rename", { id, name: "Eve" });
  assert.deepEqual(written(), [1, 6, DOCUMENT + 8 + ENTRIES + BY_NAME - 32 + BY_TEAM_AND_NAME - 32]);
  // An unchanged key is written again.
  await value(engine, "people:rename", { id, name: "Eve" });
  assert.deepEqual(written(), [1, 4, DOCUMENT + 8 + ENTRIES]);
  await value(engine, "people:remove", { id });
  assert.deepEqual(written(), [1, 4, 48 + ENTRIES - 4 * 32]);
});

test("a key may be of any value", async () => {
  const { metered, run } = await startEngine({
    functionsDir: makeProject({
      "schema.ts": `
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ things: defineTable({ it: v.any() }).index("by_it", ["it"]) });`,
      "things.ts": `
import { mutationGeneric as mutation } from "convex/server";
import { v } from "convex/values";
export const add = mutation({ args: { it: v.any() }, handler: (ctx, fields) => ctx.db.insert("things", fields) });`,
    }),
  });
  const entriesOf = async (it: Value): Promise<number> => {
    metered();
    await run({ path: "things:add", args: { it }, identity: null });
    const documentSize = 40 + 2 + 38 + 23 + 3 + getConvexSize(it);
    return metered().bytesWritten - documentSize - BY_ID - BY_CREATION_TIME - (24 + 9 + 34 + 32);
  };
  // A tag and an end around the elements; a field is its name with an end, and its value.
  assert.equal(await entriesOf(["a", 1]), 2 + 3 + 9);
  assert.equal(await entriesOf({ ab: true, c: null }), 2 + (3 + 1) + (2 + 1));
  assert.equal(await entriesOf(new ArrayBuffer(5)), 5 + 2);
  assert.equal(await entriesOf("a\0b"), 3 + 1 + 2);
  assert.equal(await entriesOf(false), 1);
});

test("what a transaction does not keep costs nothing", async () => {
  engine.metered();
  await value(engine, "people:addAndRemove");
  await assert.rejects(value(engine, "people:fail"));
  assert.deepEqual(written(), [0, 0, 0]);
});

test("documents that a function reads are counted with their size", async () => {
  for (const name of ["Ada", "Bea"]) await value(engine, "people:add", { name });
  engine.metered();
  assert.equal(await value(engine, "people:all"), 2);
  const { documentsRead, bytesRead } = engine.metered();
  assert.equal(documentsRead, 2);
  assert.equal(bytesRead, 2 * 73);
});
