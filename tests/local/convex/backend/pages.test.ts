// convex/clerk/users/pages.ts: no page is longer than it may be, and the official client still sees every row once.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ConvexClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { WebSocket } from "ws";

import { startServer } from "../../../../clerk_convex/local/convex/backend/server.ts";
import { call, eventually, makeProject, startEngine, value } from "./helpers.ts";

const PAGES = readFileSync(join(import.meta.dirname, "../../../../convex/clerk/users/pages.ts"), "utf8");

const PROJECT = {
  "pages.ts": PAGES,
  "schema.ts": `
    import { defineSchema, defineTable } from "convex/server";
    import { v } from "convex/values";
    export default defineSchema({
      items: defineTable({ rank: v.optional(v.union(v.number(), v.string())), no: v.number() }).index("by_rank", ["rank"]),
    });`,
  "items.ts": `
    import { mutationGeneric as mutation, paginationOptsValidator, queryGeneric as query } from "convex/server";
    import { v } from "convex/values";
    import { readPage } from "./pages";
    export const list = query({
      args: { order: v.union(v.literal("asc"), v.literal("desc")), paginationOpts: paginationOptsValidator },
      handler: async (ctx, { order, paginationOpts }) => {
        const rows = ctx.db.query("items").withIndex("by_rank").order(order);
        const keyOf = (row) => [row.rank, row._creationTime, row._id];
        const result = await readPage({ rows, order, keyOf }, paginationOpts);
        if (result.page.length > 100) throw new Error("too long");
        const { documentsRead } = await ctx.meta.getTransactionMetrics();
        return { ...result, page: result.page.map(({ no }) => no), read: documentsRead.used };
      },
    });
    export const fill = mutation(async (ctx, { rows }) => {
      for (const row of rows) await ctx.db.insert("items", row);
    });
    export const move = mutation(async (ctx, { no, rank }) => {
      const rows = await ctx.db.query("items").collect();
      await ctx.db.patch(rows.find((row) => row.no === no)._id, { rank });
    });
    export const remove = mutation(async (ctx, { no }) => {
      const rows = await ctx.db.query("items").collect();
      await ctx.db.delete(rows.find((row) => row.no === no)._id);
    });`,
};

const engine = await startEngine({ functionsDir: makeProject(PROJECT), env: {} });

type Order = "asc" | "desc";
type Options = { numItems: number; cursor: string | null; endCursor?: string | null };
type Page = {
  page: number[];
  isDone: boolean;
  continueCursor: string;
  splitCursor?: string;
  pageStatus?: string;
  read: number;
};

// Some alike, some without a rank, in an order that is not theirs.
async function fill(count: number, first = 0): Promise<void> {
  const ranks = [undefined, 5, "b", -0, 0, "a", 3, "\ufffd", "\u{1f600}", 1e300];
  const rows = Array.from({ length: count }, (_, index) => {
    const rank = ranks[(index * 7) % ranks.length];
    return { no: first + index, ...(rank !== undefined && { rank }) };
  });
  await value(engine, "items:fill", { rows });
}

async function page(order: Order, paginationOpts: Options): Promise<Page> {
  const result: Page = await value(engine, "items:list", { order, paginationOpts });
  assert.ok(result.page.length <= 100, `${String(result.page.length)} rows`);
  assert.ok(result.read <= 100, `${String(result.read)} rows were read`);
  return result;
}

async function all(order: Order, numItems: number): Promise<{ rows: number[]; cursors: string[] }> {
  const rows: number[] = [];
  const cursors: string[] = [];
  for (let cursor: string | null = null, isDone = false; !isDone; ) {
    const result: Page = await page(order, { numItems, cursor });
    rows.push(...result.page);
    cursors.push((cursor = result.continueCursor));
    isDone = result.isDone;
  }
  return { rows, cursors };
}

// As usePaginatedQuery does: a page that has to be split is asked for again in two parts.
async function whole(order: Order, cursor: string | null, endCursor: string, depth = 0): Promise<number[]> {
  assert.ok(depth < 50, "It is split for ever.");
  const result = await page(order, { numItems: 5, cursor, endCursor });
  assert.equal(result.continueCursor, endCursor);
  if (result.pageStatus === undefined) return result.page;
  assert.equal(result.pageStatus, "SplitRequired");
  const first = await whole(order, cursor, result.splitCursor!, depth + 1);
  return [...first, ...(await whole(order, result.splitCursor!, endCursor, depth + 1))];
}

for (const order of ["asc", "desc"] as const) {
  test(`a page that is asked for by its end has no more than 100 rows, and its parts have all of them, ${order}`, async () => {
    await engine.clear();
    await fill(330);
    const { rows, cursors } = await all(order, 30);
    assert.equal(new Set(rows).size, 330);
    assert.deepEqual(await whole(order, null, cursors.at(-1)!), rows);
    const isDone = async (index: number) =>
      (await page(order, { numItems: 1, cursor: cursors[index - 1]!, endCursor: cursors[index]! })).isDone;
    assert.deepEqual([await isDone(3), await isDone(9), await isDone(10)], [false, false, true]);
    for (const [from, to] of [[null, 0], [null, 4], [2, 3], [2, 9], [10, 10], [0, 10]] as const) {
      const [start, end] = [from === null ? 0 : (from + 1) * 30, (to + 1) * 30];
      assert.deepEqual(await whole(order, from === null ? null : cursors[from]!, cursors[to]!), rows.slice(start, end));
    }
    const largest = await page(order, { numItems: 1e9, cursor: null });
    assert.deepEqual([largest.page, largest.pageStatus], [rows.slice(0, 100), undefined]);
  });

  test(`the end of a page stays where it is when its row is gone or others come, ${order}`, async () => {
    await engine.clear();
    await fill(60);
    const { rows, cursors } = await all(order, 20);
    await value(engine, "items:remove", { no: rows[19]! });
    await value(engine, "items:remove", { no: rows[39]! });
    await fill(20, 1_000);
    const parts = [];
    for (const [index, cursor] of cursors.entries()) parts.push(...(await whole(order, cursors[index - 1] ?? null, cursor)));
    assert.deepEqual(parts, (await all(order, 100)).rows);
    assert.equal(parts.length, 78);
  });
}

test("an invalid size is replaced by a valid one, and the client's own limits have no effect", async () => {
  await engine.clear();
  await fill(120);
  for (const [asked, given] of [[-5, 1], [0, 1], [2.9, 2], [NaN, 1], [Infinity, 100]] as const) {
    assert.equal((await page("asc", { numItems: asked, cursor: null })).page.length, given);
  }
  const limits = { maximumRowsRead: 0, maximumBytesRead: 0 };
  assert.equal((await page("asc", { numItems: 7, cursor: null, ...limits })).page.length, 7);
  assert.equal((await page("asc", { numItems: 7, cursor: null, endCursor: null })).page.length, 7);
});

test("an empty list is a page", async () => {
  await engine.clear();
  const empty = await page("asc", { numItems: 5, cursor: null });
  assert.deepEqual([empty.page, empty.isDone], [[], true]);
  assert.deepEqual(await whole("asc", null, empty.continueCursor), []);
  assert.deepEqual((await page("asc", { numItems: 5, cursor: empty.continueCursor })).page, []);
});

test("a foreign cursor is refused with the error that makes the client start again", async () => {
  await engine.clear();
  await fill(3);
  const { cursors } = await all("asc", 1);
  const convexs = (JSON.parse(cursors[0]!) as [unknown, string])[1];
  for (const cursor of ["", "x", "null", "{}", "[]", "[1]", '[["a"]]', '["middle",null]', '[null,null]', '["start",5]', convexs]) {
    for (const options of [{ cursor }, { cursor: null, endCursor: cursor }]) {
      const outcome = await call(engine, "items:list", { order: "asc", paginationOpts: { numItems: 1, ...options } });
      assert.equal(outcome.ok, false, cursor);
      const data = !outcome.ok && (outcome.errorData as any);
      assert.deepEqual([data.isConvexSystemError, data.paginationError], [true, "InvalidCursor"], cursor);
    }
  }
});

test("the official client sees every row once while rows are added, removed and moved, and pages are split", async (t) => {
  await engine.clear();
  await fill(90);
  const server = await startServer({ engine, deployKey: "key", port: 0 });
  t.after(() => server.close());
  const client = new ConvexClient(server.url, { webSocketConstructor: WebSocket as never, logger: false });
  t.after(() => client.close());
  type Live = { results: number[]; status: string; loadMore: (numItems: number) => void };
  let live: Live = { results: [], status: "LoadingFirstPage", loadMore: () => undefined };
  const list = makeFunctionReference<"query">("items:list");
  client.onPaginatedUpdate_experimental(list, { order: "desc" }, { initialNumItems: 10 }, (now) => {
    live = now as unknown as Live;
  });
  const shows = async (count: number | null) => {
    await eventually(async () => {
      const { rows } = await all("desc", 100);
      const wanted = count === null ? rows : rows.slice(0, count);
      return live.status !== "LoadingMore" && JSON.stringify(live.results) === JSON.stringify(wanted);
    });
  };
  await shows(10);
  for (const count of [20, 30]) {
    live.loadMore(10);
    await shows(count);
  }
  // A whole page of them goes.
  for (const no of live.results.slice(10, 20)) await value(engine, "items:remove", { no });
  await shows(20);
  // Far more of them than a page may have, in all places and most of them in one.
  await fill(150, 1_000);
  const top = Array.from({ length: 250 }, (_, index) => ({ no: 2_000 + index, rank: "\u{1f600}" }));
  await value(engine, "items:fill", { rows: top });
  await eventually(() => live.results.length > 250 && live.status === "CanLoadMore");
  await shows(live.results.length);
  const rows = [...live.results];
  for (const no of [rows[3]!, rows[99]!, rows[120]!]) await value(engine, "items:remove", { no });
  for (const no of [rows[5]!, rows[60]!]) await value(engine, "items:move", { no, rank: "zz" });
  for (const no of [rows[10]!, rows[101]!]) await value(engine, "items:move", { no, rank: -5 });
  await eventually(() => live.results.includes(rows[60]!) && !live.results.includes(rows[101]!));
  await shows(live.results.length);
  while (live.status === "CanLoadMore") {
    const before = live.results.length;
    live.loadMore(100);
    await eventually(() => live.results.length > before || live.status === "Exhausted");
  }
  await shows(null);
  assert.equal(live.results.length, 477);
});
