// The list of users: its pages, what is subscribed, and the rows that keep their places.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConvexError } from "convex/values";
import { FIRST, MOST_LIVE, NEXT, PageList, type PageOptions, type Watch } from "../../react/src/data/PageList.ts";
import { Hold, HeldList } from "../../react/src/users/HeldList.ts";
import { nearer, rowsIn } from "../../react/src/ui/useWindow.ts";

type Row = { _id: string; at: number; text?: string };

const rowOf = (at: number): Row => ({ _id: `row${at}`, at });
const rowsOf = (count: number) => Array.from({ length: count }, (_, index) => rowOf(index + 1));

// A list in the order of `at`, whose cursors are positions. It answers as convex/clerk/users/pages.ts does.
class Table {
  rows: Row[];
  failure: Error | null = null;
  subscriptions = new Map<() => void, PageOptions>();

  constructor(rows: Row[]) {
    this.rows = rows;
  }

  watch = (options: PageOptions): Watch<any> => ({
    onUpdate: (listener) => {
      const own = () => listener();
      this.subscriptions.set(own, options);
      return () => this.subscriptions.delete(own);
    },
    localQueryResult: () => this.#read(options),
  });

  async change(rows: Row[]): Promise<void> {
    this.rows = rows.toSorted((one, other) => one.at - other.at);
    for (const listener of [...this.subscriptions.keys()]) listener();
    await settled();
  }

  #read({ cursor, endCursor, numItems }: PageOptions) {
    if (this.failure !== null) throw this.failure;
    const from = cursor === null ? -Infinity : Number(cursor);
    const to = endCursor === undefined ? Infinity : Number(endCursor);
    const found = this.rows.filter(({ at }) => at > from && at <= to);
    const page = found.slice(0, endCursor === undefined ? numItems : 100).map((row) => ({ ...row }));
    const reached = page.length < found.length ? String(page.at(-1)!.at) : null;
    if (endCursor === undefined) return { page, isDone: reached === null, continueCursor: reached ?? "Infinity" };
    const rest = { page, isDone: endCursor === "Infinity", continueCursor: endCursor };
    return reached === null ? rest : { ...rest, splitCursor: reached, pageStatus: "SplitRequired" };
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await Promise.resolve();
}

async function opened(count: number, wanted?: number) {
  const table = new Table(rowsOf(count));
  const list = new PageList<Row>(table.watch, wanted);
  const stop = list.subscribe(() => {});
  await settled();
  return { table, list, stop };
}

const at = (list: { read: () => { rows: readonly Row[] } }) => list.read().rows.map((row) => row.at);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

suite("the pages of a list", () => {
  test("the first page, and then more until the end", async () => {
    const { list } = await opened(FIRST + NEXT + 3);
    assert.deepEqual(at(list), range(1, FIRST));
    list.loadMore();
    assert.equal(list.read().isLoadingMore, true);
    list.loadMore(); // it is loading already
    await settled();
    assert.deepEqual(at(list), range(1, FIRST + NEXT));
    list.loadMore();
    await settled();
    assert.deepEqual(at(list), range(1, FIRST + NEXT + 3));
    assert.equal(list.read().canLoadMore, false);
    assert.equal(list.read().isLoadingMore, false);
  });

  test("as many rows as are wanted at first", async () => {
    const { list } = await opened(1000, 420);
    assert.deepEqual(at(list), range(1, 425)); // 100, 100, 100, 100, and a page of 25
    assert.equal(list.read().canLoadMore, true);
  });

  test("nothing is loaded before somebody listens, and nothing stays subscribed afterwards", async () => {
    const table = new Table(rowsOf(3));
    const list = new PageList<Row>(table.watch);
    await settled();
    assert.equal(table.subscriptions.size, 0);
    assert.equal(list.read().isLoading, true);
    const stop = list.subscribe(() => {});
    await settled();
    assert.deepEqual(at(list), [1, 2, 3]);
    assert.equal(table.subscriptions.size, 1);
    stop();
    assert.equal(table.subscriptions.size, 0);
  });

  test("a list without rows", async () => {
    const { list } = await opened(0);
    assert.deepEqual(list.read().rows, []);
    assert.equal(list.read().isLoading, false);
  });

  test("of 5,000 rows only the pages near the window are subscribed, and the first", async () => {
    const { table, list } = await opened(5000, 5000);
    assert.equal(list.read().rows.length, 5000);
    for (const [first, last] of [[0, 15], [2500, 2515], [4985, 4999]] as const) {
      list.look(first, last);
      await settled();
      const ends = [...table.subscriptions.values()].map(({ cursor }) => Number(cursor ?? 0));
      assert.ok(ends.length <= 4, `${ends.length} subscriptions`);
      assert.ok(ends.includes(0));
      assert.ok(ends.every((cursor) => cursor === 0 || (cursor > first - 200 && cursor < last + 200)), String(ends));
    }
    list.look(0, 4999); // a window of any height
    assert.ok(table.subscriptions.size <= MOST_LIVE);
  });

  test("a page that was left is up to date again when the window comes back", async () => {
    const { table, list } = await opened(1000, 1000);
    list.look(900, 915);
    await table.change(table.rows.filter((row) => row.at !== 450).map((row) => (row.at === 455 ? { ...row, text: "new" } : row)));
    assert.equal(list.read().rows.length, 1000); // nobody asked
    list.look(440, 455);
    await settled();
    assert.deepEqual(at(list), range(1, 1000).filter((row) => row !== 450));
    assert.equal(list.read().rows.find((row) => row.at === 455)?.text, "new");
    list.look(900, 915);
    await table.change([...table.rows, rowOf(450.5)]);
    list.look(440, 455);
    await settled();
    assert.ok(at(list).includes(450.5));
    assert.equal(list.read().arrivals.size, 0); // it was there before the page was
  });

  test("after any change the list has each row once, in order", async () => {
    const { table, list } = await opened(300, 300);
    list.look(0, 300);
    let seed = 7;
    const dice = (most: number) => (seed = (seed * 16807) % 2147483647) % most;
    for (let turn = 0; turn < 60; turn++) {
      const rows = table.rows.filter(() => dice(10) > 0);
      for (let more = dice(60); more > 0; more--) {
        const row = dice(400_000) / 1000;
        if (rows.every((it) => it.at !== row)) rows.push(rowOf(row));
      }
      const moved = rows[dice(rows.length)]!;
      moved.at = 1000 + turn; // to the end, as the same row
      await table.change(rows);
      list.look(0, list.read().rows.length);
      await settled();
      if (list.read().canLoadMore) list.loadMore();
      await settled();
    }
    while (list.read().canLoadMore) {
      list.loadMore();
      await settled();
    }
    // Some pages are more than may be subscribed at once.
    for (let row = 0; row < list.read().rows.length; row += 50) {
      list.look(row, row + 50);
      await settled();
    }
    assert.deepEqual(at(list), table.rows.map((row) => row.at));
  });

  test("a page that grows is split, and pages that shrink become one", async () => {
    const { table, list } = await opened(100, 100);
    await table.change([...table.rows, ...range(1, 250).map((number) => rowOf(number / 1000))]);
    list.look(0, 400);
    await settled();
    assert.deepEqual(at(list), table.rows.map((row) => row.at));
    assert.equal(table.subscriptions.size, 4);
    await table.change(table.rows.slice(0, 10));
    assert.deepEqual(at(list), table.rows.map((row) => row.at));
    assert.equal(table.subscriptions.size, 1);
  });

  test("rows that have not changed stay the same objects", async () => {
    const { table, list } = await opened(10);
    const before = list.read().rows;
    await table.change(table.rows.map((row) => (row.at === 4 ? { ...row, text: "x" } : row)));
    const now = list.read().rows;
    assert.deepEqual(now.map((row, index) => row === before[index]), range(1, 10).map((row) => row !== 4));
  });

  test("rows that come into a page are arrivals, and those of another page or from elsewhere in the list are not", async () => {
    const { table, list } = await opened(200, 100);
    assert.deepEqual([...list.read().arrivals], []);
    list.loadMore();
    await settled();
    assert.deepEqual([...list.read().arrivals], []);
    const moved = { ...table.rows[120]!, at: 3.5 };
    await table.change([...table.rows.filter((row) => row._id !== moved._id), moved, { _id: "new", at: 2.5 }]);
    assert.deepEqual([...list.read().arrivals], ["new"]);
  });

  test("a failure leaves the rows, and a retry asks again", async () => {
    const { table, list } = await opened(10);
    table.failure = new Error("Not today.");
    await table.change(table.rows);
    assert.equal(list.read().error, table.failure);
    assert.equal(list.read().rows.length, 10);
    table.failure = null;
    list.retry();
    await settled();
    assert.equal(list.read().error, null);
  });

  test("a cursor that is not valid any more begins the list again", async () => {
    const { table, list } = await opened(100, 100);
    list.loadMore();
    table.failure = new ConvexError({ isConvexSystemError: true, paginationError: "InvalidCursor" });
    for (const listener of [...table.subscriptions.keys()]) listener();
    queueMicrotask(() => (table.failure = null));
    await settled();
    assert.equal(list.read().error, null);
    assert.deepEqual(at(list).slice(0, FIRST), range(1, FIRST));
  });
});

suite("a list that is held", () => {
  async function held(count = 10) {
    const { table, list } = await opened(count);
    const hold = new Hold();
    const it = new HeldList(list, hold);
    it.subscribe(() => {});
    it.read();
    const gone = () => it.read().rows.filter(({ _id }) => it.read().gone.has(_id)).map((row) => row.at);
    return { table, hold, it, gone };
  }

  test("new rows come at once, if nothing holds the list", async () => {
    const { table, it } = await held();
    await table.change([...table.rows, rowOf(0)]);
    assert.deepEqual(at(it), range(0, 10));
    assert.deepEqual([...it.read().arrived], ["row0"]);
    assert.equal(it.read().waiting, 0);
  });

  test("under the pointer new rows wait, rows that leave keep their places, and changes are shown", async () => {
    const { table, hold, it, gone } = await held();
    hold.set("pointer", true);
    const rows = table.rows.filter((row) => row.at !== 3).map((row) => (row.at === 5 ? { ...row, at: 9.5, text: "x" } : row));
    await table.change([...rows, rowOf(0), rowOf(-1)]);
    assert.deepEqual(it.read().rows.map(({ _id }) => _id), rowsOf(10).map(({ _id }) => _id));
    assert.deepEqual(gone(), [3]);
    assert.equal(it.read().waiting, 2);
    assert.equal(it.read().rows[4]!.text, "x");
    hold.set("pointer", false);
    assert.deepEqual(at(it), [-1, 0, 1, 2, 4, 6, 7, 8, 9, 9.5, 10]);
    assert.deepEqual(gone(), []);
    assert.equal(it.read().waiting, 0);
  });

  test("a row that comes back takes its place again", async () => {
    const { table, hold, it, gone } = await held();
    hold.set("menu", true);
    const all = table.rows;
    await table.change(all.filter((row) => row.at !== 3));
    assert.deepEqual(gone(), [3]);
    await table.change(all);
    assert.deepEqual(gone(), []);
    assert.deepEqual(at(it), range(1, 10));
  });

  test("in a list that is scrolled new rows wait, and rows that leave do not", async () => {
    const { table, hold, it, gone } = await held();
    hold.set("scroll", true);
    await table.change([...table.rows.filter((row) => row.at !== 3), rowOf(0)]);
    assert.deepEqual(at(it), [1, 2, 4, 5, 6, 7, 8, 9, 10]);
    assert.deepEqual(gone(), []);
    assert.equal(it.read().waiting, 1);
  });

  test("rows that wait are shown when somebody asks, and the next ones wait again", async () => {
    const { table, hold, it } = await held();
    hold.set("pointer", true);
    hold.set("scroll", true);
    await table.change([...table.rows.filter((row) => row.at !== 3), rowOf(0)]);
    assert.deepEqual(it.showAll().map((row) => row.at), [0]);
    assert.deepEqual(at(it), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]);
    assert.equal(it.read().waiting, 0);
    await table.change([...table.rows, rowOf(-1)]);
    assert.equal(it.read().waiting, 1);
    assert.equal(at(it)[0], 0);
    await table.change(table.rows.filter((row) => row.at !== -1)); // deleted before it was shown
    assert.equal(it.read().waiting, 0);
  });

  test("rows of the next page come under the pointer too", async () => {
    const { list } = await opened(100);
    const hold = new Hold();
    const it = new HeldList(list, hold);
    it.subscribe(() => {});
    it.read();
    hold.set("pointer", true);
    list.loadMore();
    await settled();
    assert.deepEqual(at(it), range(1, FIRST + NEXT));
    assert.equal(it.read().waiting, 0);
  });
});

test("the rows in the document are those near the window, and the one with the focus", () => {
  const near = { first: 10, last: 13, height: 52 };
  assert.deepEqual(rowsIn(near, 100, -1), [10, 11, 12, 13]);
  assert.deepEqual(rowsIn(near, 100, 2), [2, 10, 11, 12, 13]);
  assert.deepEqual(rowsIn(near, 100, 50), [10, 11, 12, 13, 50]);
  assert.deepEqual(rowsIn(near, 12, 11), [10, 11]);
});

test("the window moves a few rows at a time, and those that are seen come first", () => {
  const at = (first: number, last: number) => ({ first, last, height: 50 });
  const target = at(20, 60);
  assert.deepEqual(nearer(at(10, 50), target, { first: 30, last: 45 }), at(20, 55), "below the window");
  assert.deepEqual(nearer(at(30, 70), target, { first: 35, last: 50 }), at(25, 60), "above it");
  assert.deepEqual(nearer(at(10, 35), target, { first: 30, last: 45 }), at(20, 40), "in it");
  assert.deepEqual(nearer(at(40, 60), target, { first: 30, last: 45 }), at(35, 60), "above, in it");
  assert.deepEqual(nearer(at(20, 58), target, { first: 30, last: 45 }), target, "the rest");
  assert.deepEqual(nearer(at(0, 10), target, { first: 30, last: 45 }), at(30, 45), "after a jump, all that are seen");
  let range = at(100, 120);
  for (let frame = 0; frame < 10; frame++) range = nearer(range, target, { first: 30, last: 45 });
  assert.deepEqual(range, target, "after a few frames it is where it has to be");
});
