// One action for several users: the requests, the results and what takes it back.
import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { ENGLISH } from "clerk-convex-react";
import type { UserSummary } from "../../react/src/functions.ts";
import * as bulk from "../../react/src/manage/bulk.ts";
import type { Problem } from "../../react/src/manage/calls.ts";
import { gather, MOST_SELECTED } from "../../react/src/manage/gather.ts";
import { Manager, type Notice } from "../../react/src/manage/Manager.ts";
import { STATUSES } from "../../react/src/ui/statuses.ts";

const user = (number: number, role?: string) =>
  ({ clerkId: `user_${number}`, status: "active", ...(role === undefined ? {} : { role }) }) as UserSummary;
const users = (count: number) => Array.from({ length: count }, (_, index) => user(index));
const manager = () => new Manager({ url: "", getToken: async () => "t" }, ENGLISH.manage);
const always = () => true;
const ids = (it: Manager) => [...it.state.selected.keys()];

type Sent = { action: string; user_ids: string[]; public_metadata?: object };

// A service that does everything, except for the requests that `fails` names by their number.
function serve(t: TestContext, fails: number[] = []): Sent[] {
  const sent: Sent[] = [];
  t.mock.method(globalThis, "fetch", async (url: string, init: { body: string }) => {
    assert.equal(url, "/bulk");
    sent.push(JSON.parse(init.body));
    if (fails.includes(sent.length)) {
      return Response.json({ error: { code: "convex_unavailable", message: "Down." } }, { status: 503 });
    }
    return Response.json({ results: sent.at(-1)!.user_ids.map((id) => ({ id, status: 200, synced: true })) });
  });
  return sent;
}

test("a role is metadata, and 50 users are one request", () => {
  const [first, second, ...others] = bulk.stepsOf("role", "editor", users(51));
  assert.deepEqual([first!.users.length, second!.users.length, others], [50, 1, []]);
  assert.deepEqual(bulk.requestOf(second!), {
    method: "POST",
    path: "/bulk",
    body: { action: "update_metadata", user_ids: ["user_50"], public_metadata: { role: "editor" } },
  });
  assert.deepEqual(bulk.requestOf({ action: "ban", role: null, users: users(1) }).body, { action: "ban", user_ids: ["user_0"] });
  assert.deepEqual(bulk.callOf(second!, user(1)), { action: "role", clerkId: "user_1", role: "editor" });
  assert.deepEqual(bulk.callOf({ ...second!, action: "lock" }, user(1)), { action: "lock", clerkId: "user_1" });
});

test("each user has a result", () => {
  const answered = bulk.readResults({
    results: [
      { id: "user_0", status: 200, synced: false, message: "Soon." },
      { id: "user_1", status: 403, error: { code: "last_admin", message: "The last." } },
    ],
  })!;
  const told = bulk.resultsOf({ action: "ban", role: null, users: users(3) }, answered);
  assert.deepEqual(
    told.map(({ isDone, synced, message }) => [isDone, synced, message]),
    [
      [true, false, "Soon."],
      [false, false, "The last."],
      [false, false, null],
    ],
  );
  const problem = { code: "x", message: "Down." } as Problem;
  assert.deepEqual(bulk.resultsOf({ action: "ban", role: null, users: users(1) }, problem)[0]!.message, "Down.");
  for (const body of [null, {}, { results: {} }]) assert.equal(bulk.readResults(body), undefined);
});

test("what is done can be taken back, but not a deletion", () => {
  const undo = (action: bulk.BulkAction, ...before: UserSummary[]) =>
    bulk
      .undoOf({
        action,
        total: 4,
        isRunning: false,
        resumesAt: 0,
        canUndo: true,
        results: [...before, user(0), user(1, "admin"), user(2), user(3)].map((it, index) => ({
          user: it,
          isDone: index < before.length + 3,
          synced: true,
          message: "",
        })),
      })
      .map((step) => [step.action, step.role, step.users.map(({ clerkId }) => clerkId)]);
  assert.deepEqual(undo("ban"), [["unban", null, ["user_0", "user_1", "user_2"]]]);
  assert.deepEqual(undo("lock"), [["unlock", null, ["user_0", "user_1", "user_2"]]]);
  assert.deepEqual(undo("role"), [
    ["role", null, ["user_0", "user_2"]],
    ["role", "admin", ["user_1"]],
  ]);
  for (const action of ["unban", "unlock", "delete"] as const) assert.deepEqual(undo(action), []);
  const others = STATUSES.map((status, index) => ({ ...user(10 + index), status }));
  const [, , deprovisioned, locked] = others.map(({ clerkId }) => clerkId);
  assert.deepEqual(undo("ban", ...others), [["unban", null, ["user_10", deprovisioned, locked, "user_0", "user_1", "user_2"]]]);
  assert.deepEqual(undo("lock", ...others), [["unlock", null, ["user_10", "user_0", "user_1", "user_2"]]]);
});

suite("a job", () => {
  test("one request after the other, with progress, and the users who are done are unselected", async (t) => {
    const sent = serve(t);
    const it = manager();
    const progress: number[] = [];
    it.subscribe(() => progress.push(it.state.job?.results.length ?? 0));
    it.showRows(users(120));
    it.select(it.state.rows);
    await it.doAll("ban", null, it.state.rows);
    assert.deepEqual(sent.map(({ user_ids }) => user_ids.length), [50, 50, 20]);
    assert.deepEqual([...new Set(progress)], [0, 50, 100, 120]);
    assert.deepEqual(ids(it), []);
    assert.deepEqual([it.state.job!.isRunning, it.state.job!.canUndo], [false, true]);
    await it.undoAll(it.state.job!);
    assert.deepEqual([sent.length, sent.at(-1)!.action, it.state.job!.canUndo], [6, "unban", false]);
  });

  test("who was banned before stays banned, also if that is news since the dialog opened", async (t) => {
    const sent = serve(t);
    const it = manager();
    const banned = { ...user(1), status: "banned" as const };
    it.showRows([user(0), banned]);
    await it.doAll("ban", null, users(2));
    await it.undoAll(it.state.job!);
    assert.deepEqual(sent.map(({ action, user_ids }) => [action, user_ids]), [
      ["ban", ["user_0", "user_1"]],
      ["unban", ["user_0"]],
    ]);
    await it.doAll("ban", null, [banned]);
    assert.equal(it.state.job!.canUndo, false);
  });

  test("after a request that failed, no other is sent", async (t) => {
    const sent = serve(t, [2]);
    const it = manager();
    it.showRows(users(120));
    it.select(it.state.rows);
    await it.doAll("delete", null, it.state.rows);
    assert.equal(sent.length, 2);
    const { results, canUndo } = it.state.job!;
    const messages = [49, 50, 99, 100, 119].map((index) => results[index]!.message!.slice(0, 9));
    assert.deepEqual(messages, ["", "Down.", "Down.", "Not tried", "Not tried"]);
    assert.equal(canUndo, false);
    assert.deepEqual([ids(it).length, ids(it)[0]], [70, "user_50"]);
    assert.deepEqual([...it.state.pending.values()].filter(({ isAnswered }) => !isAnswered), []);
  });

  test("a job that is cancelled sends no other request, and says so of each user", async (t) => {
    const sent = serve(t);
    const it = manager();
    it.showRows(users(120));
    it.select(it.state.rows);
    const unsubscribe = it.subscribe(() => it.state.job!.results.length === 50 && it.cancelJob());
    await it.doAll("ban", null, it.state.rows);
    unsubscribe();
    assert.equal(sent.length, 1);
    const { results, isRunning, canUndo } = it.state.job!;
    assert.deepEqual([results.length, isRunning, canUndo], [120, false, true]);
    assert.deepEqual([results[49]!.isCancelled, results[50]!.isCancelled, results[119]!.isDone], [undefined, true, false]);
    assert.equal(ids(it).length, 70);
    assert.deepEqual([...it.state.pending.values()].filter(({ isAnswered }) => !isAnswered), []);
    await it.doAll("lock", null, users(60)); // the next one is not cancelled
    assert.equal(sent.length, 3);
  });

  test("a job waits while the service takes no more, and can be cancelled then", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
    const sent: number[] = [];
    t.mock.method(globalThis, "fetch", async (_: string, init: { body: string }) => {
      const { user_ids } = JSON.parse(init.body) as Sent;
      sent.push(user_ids.length);
      if (sent.length % 2 === 0) {
        const error = { code: "too_many_calls", message: "Too many.", retry_after: 9 };
        return Response.json({ error }, { status: 429 });
      }
      return Response.json({ results: user_ids.map((id) => ({ id, status: 200, synced: true })) });
    });
    const turns = async () => {
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    };
    const it = manager();
    const done = it.doAll("ban", null, users(120));
    await turns();
    assert.deepEqual([sent, it.state.job!.resumesAt], [[50, 50], 9000]);
    t.mock.timers.tick(8_999);
    await turns();
    assert.equal(sent.length, 2);
    t.mock.timers.tick(1);
    await turns();
    assert.deepEqual([sent, it.state.job!.resumesAt], [[50, 50, 50, 20], 18_000]);
    it.cancelJob();
    await done;
    assert.equal(sent.length, 4);
    assert.deepEqual(it.state.job!.results.map(({ isCancelled }) => isCancelled === true).lastIndexOf(false), 99);
  });

  test("one job at a time, and its users are in progress", async (t) => {
    const sent = serve(t);
    const it = manager();
    const first = it.doAll("lock", null, users(2));
    assert.equal(it.state.pending.get("user_1")!.call.action, "lock");
    await it.doAll("ban", null, users(2));
    await first;
    assert.deepEqual(sent.map(({ action }) => action), ["lock"]);
  });

  test("only unban and unlock do not ask", async (t) => {
    const sent = serve(t);
    const it = manager();
    for (const action of ["ban", "lock", "role", "delete"] as const) {
      it.chooseAll(action, users(1));
      assert.deepEqual(it.state.dialog, { kind: "bulk", action, users: users(1) });
    }
    assert.equal(it.state.job, null);
    it.chooseAll("unban", users(1));
    assert.equal(it.state.job!.isRunning, true);
    while (it.state.job!.isRunning) await new Promise(setImmediate);
    assert.deepEqual(sent.map(({ action }) => action), ["unban"]);
  });
});

suite("the selection", () => {
  test("a range goes from the one before, in both directions, without those that are not allowed", () => {
    const it = manager();
    it.showRows(users(6));
    it.toggle(user(4), true, always); // nothing before
    it.toggle(user(1), true, ({ clerkId }) => clerkId !== "user_2");
    assert.deepEqual(ids(it).sort(), ["user_1", "user_3", "user_4"]);
    it.toggle(user(3), false, always);
    it.toggle(user(4), true, always);
    assert.deepEqual(ids(it), ["user_1"]);
    it.select([]);
    it.toggle(user(5), true, always);
    assert.deepEqual(ids(it), ["user_5"]);
  });

  test("users who leave the list are unselected, and the others are as the list has them", () => {
    const it = manager();
    it.showRows(users(3));
    it.select(users(2));
    it.showRows([user(1, "admin"), user(2)]);
    assert.deepEqual([...it.state.selected.values()], [user(1, "admin")]);
  });
});

suite("all that match", () => {
  test("users beyond the rows stay selected until another view is shown", () => {
    const it = manager();
    it.showRows(users(2), "a");
    it.select(users(5), true);
    it.showRows([user(1, "admin"), user(7)], "a");
    assert.deepEqual(ids(it).length, 5);
    assert.deepEqual(it.state.selected.get("user_1"), user(1, "admin"));
    it.toggle(user(1), false, always);
    assert.deepEqual([ids(it).length, it.state.isBeyond], [4, true]);
    it.showRows(users(2), "b");
    assert.deepEqual([ids(it), it.state.isBeyond], [["user_0"], false]);
    it.select(users(5), true);
    it.select(users(5));
    it.showRows(users(1), "b");
    assert.deepEqual(ids(it), ["user_0"]);
  });

  test("all but oneself are gathered, up to a thousand", async () => {
    async function* pages(count: number) {
      for (let at = 0; at < count; at += 100) yield users(count).slice(at, at + 100);
    }
    const counts: number[] = [];
    const some = await gather(pages(250), "user_7", (count) => counts.push(count));
    assert.deepEqual([some.users.length, some.isCut, counts], [249, false, [99, 199, 249]]);
    const exact = await gather(pages(MOST_SELECTED + 1), "user_7", () => {});
    assert.deepEqual([exact.users.length, exact.isCut], [MOST_SELECTED, false]);
    const many = await gather(pages(5000), "", () => {});
    assert.deepEqual([many.users.length, many.isCut, many.users.at(-1)!.clerkId], [MOST_SELECTED, true, "user_999"]);
    for (const [found, isCut] of [[200, true], [199, false]] as const) {
      const search = await gather(pages(found), "user_7", () => {}, 200);
      assert.deepEqual([search.users.length, search.isCut], [found - 1, isCut], "a search may have found only its most");
    }
  });
});

suite("undo of a single action", () => {
  const undoOf = async (t: TestContext, call: Parameters<Manager["act"]>[0], rows: UserSummary[] = []) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    t.mock.method(globalThis, "fetch", async () => Response.json({ synced: true }));
    const it = manager();
    it.showRows(rows);
    await it.act(call, "Ada");
    return it;
  };

  test("a ban, a lock and a role have one", async (t) => {
    const clerkId = "user_1";
    for (const [call, undo] of [
      [{ action: "ban", clerkId }, { action: "unban", clerkId }],
      [{ action: "lock", clerkId }, { action: "unlock", clerkId }],
      [{ action: "role", clerkId, role: "admin", before: null }, { action: "role", clerkId, role: null }],
      [{ action: "role", clerkId, role: null }, null],
      [{ action: "unban", clerkId }, null],
      [{ action: "delete", clerkId }, null],
    ] as const) {
      t.mock.timers.reset();
      const [notice] = (await undoOf(t, call)).state.notices;
      assert.deepEqual(notice!.undo, undo);
    }
  });

  test("a second ban has none", async (t) => {
    for (const [action, status, isUndoable] of [
      ["ban", "banned", false],
      ["ban", "locked", true],
      ["lock", "locked", false],
      ["lock", "active", true],
    ] as const) {
      t.mock.timers.reset();
      const it = await undoOf(t, { action, clerkId: "user_1" }, [{ ...user(1), status }]);
      assert.equal(it.state.notices[0]!.undo !== null, isUndoable, `${action} of ${status}`);
    }
  });

  test("a notice stays while the pointer or the focus is on it", async (t) => {
    const it = await undoOf(t, { action: "ban", clerkId: "user_1" });
    await it.act({ action: "ban", clerkId: "user_2" }, "Bea");
    const [first, second] = it.state.notices as [Notice, Notice];
    it.hold(first, "focus", true);
    it.hold(second, "pointer", true);
    it.hold(second, "pointer", false);
    it.hold(first, "pointer", true);
    it.hold(first, "pointer", false);
    t.mock.timers.tick(20_000);
    assert.deepEqual(it.state.notices, [first]);
    it.hold(first, "focus", false);
    t.mock.timers.tick(6_000);
    assert.equal(it.state.notices.length, 0);
  });
});
