import assert from "node:assert/strict";
import { test } from "node:test";
import type { Engine } from "../../../../clerk_convex/local/convex/backend/engine.ts";

import { call, startEngine, value } from "./helpers.ts";

interface Page {
  keys: string[];
  cursor: string;
  isDone: boolean;
  journal: string | null;
}

async function readPage(engine: Engine, cursor: string | null, journal: string | null = null): Promise<Page> {
  const outcome = await call(engine, "cases:page", { paginationOpts: { numItems: 3, cursor } }, { journal });
  assert.ok(outcome.ok);
  const { page, continueCursor, isDone } = outcome.value as unknown as {
    page: { key: string }[];
    continueCursor: string;
    isDone: boolean;
  };
  return { keys: page.map(({ key }) => key), cursor: continueCursor, isDone, journal: outcome.journal };
}

async function versions(engine: Engine, ...keys: string[]): Promise<void> {
  await value(engine, "cases:putVersions", { keys });
}

test("pages read again with their journals lose and double no row, whatever was inserted or removed", async () => {
  const engine = await startEngine();
  await versions(engine, "f", "e", "d", "c", "b", "a");
  const first = await readPage(engine, null);
  const second = await readPage(engine, first.cursor);
  assert.deepEqual([first.keys, second.keys, second.isDone], [["f", "e", "d"], ["c", "b", "a"], true]);
  await versions(engine, "z", "y", "dd", "bb");
  const firstAgain = await readPage(engine, null, first.journal);
  const secondAgain = await readPage(engine, first.cursor, second.journal);
  assert.deepEqual(firstAgain.keys, ["z", "y", "f", "e", "dd", "d"]);
  assert.deepEqual([secondAgain.keys, secondAgain.isDone], [["c", "bb", "b", "a"], true]);
  assert.deepEqual([firstAgain.cursor, firstAgain.isDone], [first.cursor, false]);
  // The row that the first page ended with goes away: the page still ends there.
  await value(engine, "cases:dropVersion", { key: "d" });
  const third = await readPage(engine, null, firstAgain.journal);
  assert.deepEqual(
    [third.keys, third.cursor, third.isDone],
    [["z", "y", "f", "e", "dd"], first.cursor, false],
  );
  assert.deepEqual((await readPage(engine, third.cursor, secondAgain.journal)).keys, ["c", "bb", "b", "a"]);
});

test("a new query starts without a journal, and one of other arguments does not apply", async () => {
  const engine = await startEngine();
  await versions(engine, "f", "e", "d", "c");
  const first = await readPage(engine, null);
  await versions(engine, "z");
  assert.deepEqual((await readPage(engine, null)).keys, ["z", "f", "e"]);
  assert.deepEqual((await readPage(engine, first.cursor, first.journal)).keys, ["c"]);
  for (const garbage of ["garbage", "{}", "[1]", "[null]"]) {
    assert.deepEqual((await readPage(engine, null, garbage)).keys, ["z", "f", "e"]);
  }
});

test("a query with several pages keeps where each ended; one with none has no journal", async () => {
  const engine = await startEngine();
  await versions(engine, "d", "c", "b", "a");
  const two = await call(engine, "cases:twoPages", {
    one: { numItems: 1, cursor: null },
    two: { numItems: 2, cursor: '["\\"c\\"","0","\\"\\""]' },
  });
  assert.ok(two.ok);
  const args = {
    one: { numItems: 1, cursor: null },
    two: { numItems: 2, cursor: '["\\"c\\"","0","\\"\\""]' },
  };
  await versions(engine, "z", "bb");
  const again = await call(engine, "cases:twoPages", args, { journal: two.journal });
  assert.ok(again.ok);
  const keys = (again.value as unknown as { page: { key: string }[] }[]).map(({ page }) =>
    page.map(({ key }) => key),
  );
  assert.deepEqual(keys, [
    ["z", "d"],
    ["bb", "b", "a"],
  ]);
  const none = await call(engine, "cases:log");
  assert.ok(none.ok);
  assert.equal(none.journal, null);
});
