import assert from "node:assert/strict";
import { test } from "node:test";

import { words } from "../../../../clerk_convex/local/convex/backend/search.ts";
import { failure, makeProject, startEngine, value } from "./helpers.ts";

const PROJECT = {
  "schema.ts": `
    import { defineSchema, defineTable } from "convex/server";
    import { v } from "convex/values";
    export default defineSchema({
      people: defineTable({ text: v.optional(v.string()), status: v.optional(v.string()), no: v.number() })
        .searchIndex("by_text", { searchField: "text", filterFields: ["status"] }),
      other: defineTable({}),
    });`,
  "people.ts": `
    import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
    const found = (ctx, { text, status, field = "text", by = "status", searches = 1, filters = 1, min }) => {
      const people = ctx.db.query("people").withSearchIndex("by_text", (q) => {
        for (let i = 0; i < searches; i++) q = q.search(field, text);
        for (let i = 0; i < filters && status !== undefined; i++) q = q.eq(by, status === "none" ? undefined : status);
        return q;
      });
      return min === undefined ? people : people.filter((q) => q.gte(q.field("no"), min));
    };
    const no = (people) => people.map((person) => person.no);
    export const all = query(async (ctx, args) => no(await found(ctx, args).collect()));
    export const take = query(async (ctx, args) => no(await found(ctx, args).take(args.n)));
    export const first = query(async (ctx, args) => (await found(ctx, args).first())?.no ?? null);
    export const iterate = query(async (ctx, args) => {
      const seen = [];
      for await (const person of found(ctx, args)) if (seen.push(person.no) === args.n) break;
      return seen;
    });
    export const page = query(async (ctx, args) => {
      const { page, ...rest } = await found(ctx, args).paginate(args.paginationOpts);
      return { page: no(page), fields: Object.keys(page[0] ?? {}), ...rest };
    });
    export const byNoIndex = query((ctx) =>
      ctx.db.query("other").withSearchIndex("by_text", (q) => q.search("text", "x")).collect());
    export const fill = mutation(async (ctx, { rows }) => {
      for (const row of rows) await ctx.db.insert("people", row);
    });
    export const change = mutation(async (ctx, { no, ...fields }) => {
      const people = await ctx.db.query("people").collect();
      await ctx.db.patch(people.find((person) => person.no === no)._id, fields);
    });
    export const remove = mutation(async (ctx, { no }) => {
      const people = await ctx.db.query("people").collect();
      await ctx.db.delete(people.find((person) => person.no === no)._id);
    });
    export const addAndFind = mutation(async (ctx, { row, text, fail }) => {
      await ctx.db.insert("people", row);
      const seen = no(await found(ctx, { text }).collect());
      if (fail) throw new Error(JSON.stringify(seen));
      return seen;
    });`,
};

const engine = await startEngine({ functionsDir: makeProject(PROJECT), env: {} });

type Row = { text?: string | undefined; status?: string };

// Numbered from 0 in the order of their creation.
async function fill(...rows: (string | Row)[]): Promise<void> {
  await engine.clear();
  const all = rows.map((row, no) => ({ ...(typeof row === "string" ? { text: row } : row), no }));
  for (let i = 0; i < all.length; i += 2_000) {
    await value(engine, "people:fill", { rows: all.slice(i, i + 2_000) });
  }
}

const search = (text: string, more = {}): Promise<number[]> => value(engine, "people:all", { text, ...more });

test("words are runs of letters and digits of any script, in lower case, of at most 31 bytes", () => {
  assert.deepEqual(words("Ada.Lovelace+x@Example.com  İ_ÉCOLE-42 日本 ½ 😀"), [
    ...["ada", "lovelace", "x", "example", "com", "i̇", "école", "42", "日本", "½"],
  ]);
  assert.deepEqual(words(`${"a".repeat(31)} ${"b".repeat(32)} ${"é".repeat(15)} ${"é".repeat(16)}`), [
    "a".repeat(31),
    "é".repeat(15),
  ]);
  assert.deepEqual(words("a b c", 2), ["a", "b"]);
  assert.deepEqual(words("ΝΊΚΟΣ तेंदुलकर सच्चिन لُقْمَان ªx"), [
    ...["νίκοσ", "तेंदुलकर", "सच", "चिन", "لُقْمَان", "ªx"],
  ]);
});

test("any of the words is enough, more of them and rarer ones come first", async () => {
  await fill("red apple", "green pear", "red pear", "red plum", "blue sky");
  assert.deepEqual(await search("RED, pear!"), [2, 1, 3, 0]);
});

test("a text with a larger share or more occurrences of the word comes first; equal ones come newest first", async () => {
  await fill("ann of the many other words", "ann smith", "ann jones", "ann ann of the many", "bob");
  assert.deepEqual(await search("ann"), [3, 2, 1, 0]);
});

test("the last word also matches what begins with it, for half the weight; the others only themselves", async () => {
  await fill("johnson", "john", "johnny", "john doe", "joe");
  assert.deepEqual(await search("john"), [1, 2, 0, 3]);
  assert.deepEqual(await search("jo"), [4, 2, 0, 1, 3]);
  assert.deepEqual(await search("jo doe"), [3]);
  assert.deepEqual(await search("hn"), []);
});

test("rows without the field are not found and cause no error", async () => {
  await fill({ status: "a" }, { text: "ann", status: "a" }, { text: "", status: "a" });
  assert.deepEqual(await search("ann"), [1]);
  assert.deepEqual(await search("ann", { status: "a" }), [1]);
});

test("no word to search for finds nothing", async () => {
  await fill("ann", "");
  for (const text of ["", "  ", "@.!", "x".repeat(40)]) assert.deepEqual(await search(text), []);
  assert.deepEqual(await value(engine, "people:page", { text: "", paginationOpts: { numItems: 5, cursor: null } }), {
    ...{ page: [], fields: [], isDone: true, continueCursor: "_end_cursor", splitCursor: null, pageStatus: null },
  });
});

test("filters keep the order, and can select a missing value", async () => {
  await fill({ text: "ann", status: "a" }, { text: "ann ann", status: "b" }, { text: "ann x", status: "a" }, "ann");
  assert.deepEqual(await search("ann"), [1, 3, 0, 2]);
  assert.deepEqual(await search("ann", { status: "a" }), [0, 2]);
  assert.deepEqual(await search("ann", { status: "none" }), [3]);
  assert.deepEqual(await search("ann", { status: "c" }), []);
});

test("only the first 16 words count, and the sixteenth is the last", async () => {
  const many = Array.from({ length: 15 }, (_, i) => `w${String(i)}`);
  await fill("zebra", "extraordinary", "extra", "w3");
  assert.deepEqual(await search([...many, "extra", "zebra"].join(" ")), [3, 2, 1]);
});

test("at most 64 different words are searched, and words with the last one as prefix in their order", async () => {
  await fill(...Array.from({ length: 80 }, (_, i) => `p${String(i).padStart(2, "0")}`));
  assert.deepEqual((await search("p79 p")).sort((a, b) => a - b), [...Array(63).keys(), 79]);
});

test("take, first and filter stop in the order of relevance", async () => {
  await fill("ann x y", "ann x", "ann");
  assert.deepEqual(await value(engine, "people:take", { text: "ann", n: 2 }), [2, 1]);
  assert.equal(await value(engine, "people:first", { text: "ann" }), 2);
  assert.equal(await value(engine, "people:first", { text: "bob" }), null);
  assert.deepEqual(await search("ann", { min: 1 }), [2, 1]);
  assert.deepEqual(await value(engine, "people:iterate", { text: "ann", n: 2 }), [2, 1]);
});

type Page = { page: number[]; isDone: boolean; continueCursor: string; fields: string[] };

function page(text: string, numItems: number, cursor: string | null, more: { [name: string]: any } = {}): Promise<Page> {
  const { endCursor, ...rest } = more;
  const paginationOpts = { numItems, cursor, ...(endCursor && { endCursor }) };
  return value(engine, "people:page", { text, paginationOpts, ...rest });
}

test("pages follow one another in the order of relevance and end", async () => {
  await fill("ann b c", "ann", "ann b", "bob", "ann b c d", "ann");
  const first = await page("ann", 2, null);
  assert.deepEqual([first.page, first.isDone], [[5, 1], false]);
  assert.deepEqual(first.fields.sort(), ["_creationTime", "_id", "no", "text"]);
  const second = await page("ann", 2, first.continueCursor);
  assert.deepEqual([second.page, second.isDone], [[2, 0], false]);
  const third = await page("ann", 2, second.continueCursor);
  assert.deepEqual([third.page, third.isDone], [[4], true]);
  assert.deepEqual((await page("ann", 2, third.continueCursor)).page, []);
  assert.deepEqual((await page("ann", 5, null)).isDone, true);
  const some = await page("ann", 2, null, { min: 2 });
  assert.deepEqual([some.page, some.isDone], [[5, 2], false]);
  assert.deepEqual((await page("ann", 2, some.continueCursor, { min: 2 })).page, [4]);
});

test("a page that is read again ends where it ended, whatever rows were added", async () => {
  await fill("ann b c", "ann b", "ann", "bob");
  const { continueCursor } = await page("ann", 2, null);
  assert.deepEqual((await page("ann", 2, null, { endCursor: continueCursor })).page, [2, 1]);
  await value(engine, "people:fill", { rows: [{ text: "ann ann", no: 9 }] });
  const again = await page("ann", 2, null, { endCursor: continueCursor });
  const rest = await page("ann", 9, continueCursor);
  assert.deepEqual([...again.page, ...rest.page].sort(), [0, 1, 2, 9]);
  assert.deepEqual([again.isDone, again.continueCursor], [false, continueCursor]);
  const toTheEnd = await page("ann", 1, continueCursor, { endCursor: "_end_cursor" });
  assert.deepEqual([toTheEnd.page, toTheEnd.isDone], [rest.page, true]);
});

test("a cursor of something else is refused", async () => {
  await fill("ann");
  for (const cursor of ["[1]", "5", '["a",1,"x"]']) {
    const args = { text: "ann", paginationOpts: { numItems: 1, cursor } };
    assert.match(await failure(engine, "people:page", args), /InvalidCursor/);
  }
});

test("more than 1,024 results cannot be read at once", async () => {
  await fill(...Array.from({ length: 1_100 }, (_, i) => `ann ${String(i)}`));
  const message = /Search query scanned too many documents \(fetched 1024\)\. Consider using a smaller limit/;
  assert.match(await failure(engine, "people:all", { text: "ann" }), message);
  assert.match(await failure(engine, "people:take", { text: "ann", n: 1_025 }), message);
  assert.match(await failure(engine, "people:page", { text: "ann", paginationOpts: { numItems: 1_025, cursor: null } }), message);
  assert.equal((await value(engine, "people:take", { text: "ann", n: 1_024 })).length, 1_024);
  assert.equal((await value(engine, "people:iterate", { text: "ann", n: 1_000 })).length, 1_000);
  const { page: most, continueCursor } = await page("ann", 1_000, null);
  assert.equal(most.length, 1_000);
  assert.deepEqual([(await page("ann", 100, continueCursor)).page.length], [24]);
});

test("a search sees what its transaction wrote, and nothing of one that failed", async () => {
  await fill("ann", "bob");
  assert.deepEqual(await value(engine, "people:addAndFind", { row: { text: "ann", no: 2 }, text: "ann" }), [2, 0]);
  const failed = await failure(engine, "people:addAndFind", { row: { text: "ann", no: 3 }, text: "ann", fail: true });
  assert.match(failed, /\[3,2,0\]/);
  assert.deepEqual(await search("ann"), [2, 0]);
  await value(engine, "people:change", { no: 0, text: "carl" });
  await value(engine, "people:change", { no: 1, text: "ann" });
  await value(engine, "people:remove", { no: 2 });
  assert.deepEqual([await search("ann"), await search("carl"), await search("bob")], [[1], [0], []]);
  await engine.clear();
  assert.deepEqual(await search("ann"), []);
});

test("a search counts as a read of its table, also without a result", async () => {
  await fill("ann");
  const outcome = await engine.run({ path: "people:all", args: { text: "zoe" }, identity: null });
  assert.deepEqual([...outcome.reads], ["people"]);
});

test("a search that Convex refuses is refused, in its words", async () => {
  await fill("ann");
  for (const [args, message] of [
    [{ field: "status" }, /contains a search filter against "status", which doesn't match the indexed `searchField` "text"/],
    [{ status: "a", by: "no" }, /contains an equality filter on "no" but that field isn't indexed for filtering/],
    [{ status: "a", filters: 9 }, /has too many filter conditions\. Max: 8 Actual: 9/],
    [{ searches: 0, status: "a" }, /must contain one search filter like `q\.search\("text", searchText\)`/],
    [{ searches: 2 }, /must contain one search filter/],
  ] as const) {
    assert.match(await failure(engine, "people:all", { text: "ann", ...args }), message);
  }
  assert.match(await failure(engine, "people:byNoIndex"), /Index other\.by_text not found\./);
});

test("the same is found with and without the accelerator", async () => {
  const slow = await startEngine({ functionsDir: makeProject(PROJECT), env: {}, accelerated: false });
  const names = ["ann", "anna", "bob", "b", "carl smith", "smith ann", "dora ann bob"];
  const rows = Array.from({ length: 60 }, (_, no) => ({ text: `${names[no % 7]!} ${names[(no * 3) % 5]!}`, no }));
  await engine.clear();
  for (const each of [engine, slow]) await value(each, "people:fill", { rows });
  for (const text of ["ann", "an", "b smith", "smith b", "carl an bob"]) {
    assert.deepEqual(await search(text), await value(slow, "people:all", { text }));
  }
});
