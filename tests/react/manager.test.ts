// Actions in progress, and their notices.
import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { ENGLISH } from "clerk-convex-react";
import type { UserSummary } from "../../react/src/functions.ts";
import type { Call, UserCall } from "../../react/src/manage/calls.ts";
import { isUnderWay, Manager } from "../../react/src/manage/Manager.ts";

const ADA = { clerkId: "user_1", firstName: "Ada", status: "active" } as UserSummary;
const BAN: Call = { action: "ban", clerkId: "user_1" };

// A service that answers when the test lets it; `asked` has the paths.
function serve(t: TestContext) {
  const asked: string[] = [];
  const waiting: ((response: Response) => void)[] = [];
  t.mock.method(globalThis, "fetch", (url: string) => {
    asked.push(url);
    return new Promise<Response>((resolve) => waiting.push(resolve));
  });
  const answer = async (status: number, body: object) => {
    await settled();
    waiting.shift()!(Response.json(body, { status }));
    await settled();
  };
  return { asked, answer };
}

// The promises of an answer need some turns.
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

const manager = () => new Manager({ url: "", getToken: async () => "t" }, ENGLISH.manage);

test("dangerous actions and forms open a dialog first", async (t) => {
  const { asked } = serve(t);
  const dialogs = { update: "edit", role: "role", ban: "confirm", lock: "confirm", delete: "confirm" } as const;
  for (const [action, kind] of Object.entries(dialogs)) {
    const it = manager();
    it.openMenu(ADA, {} as HTMLElement);
    it.choose(action as keyof typeof dialogs, ADA);
    assert.equal(it.state.menu, null);
    assert.deepEqual(it.state.dialog, { kind, user: ADA, ...(kind === "confirm" && { action }) });
  }
  await settled();
  assert.deepEqual(asked, []);
  for (const action of ["unban", "unlock"] as const) {
    const it = manager();
    it.choose(action, ADA);
    assert.equal(it.state.dialog, null);
    assert.equal(it.state.pending.get("user_1")?.call.action, action);
  }
  await settled();
  assert.deepEqual(asked, ["/user_1/unban", "/user_1/unlock"]);
});

test("each opening of a menu makes a new menu", () => {
  const it = manager();
  it.openMenu(ADA, {} as HTMLElement);
  const first = it.state.menu!.opening;
  it.openMenu(ADA, {} as HTMLElement);
  assert.notEqual(it.state.menu!.opening, first);
});

suite("an action", () => {
  test("one action at a time on a user, and several on several users", async (t) => {
    const { asked, answer } = serve(t);
    const it = manager();
    const first = it.act(BAN, "Ada");
    assert.equal(await it.act({ action: "lock", clerkId: "user_1" }, "Ada"), null);
    void it.act({ action: "lock", clerkId: "user_2" }, "Grace");
    void it.act({ action: "create", body: {} }, "New");
    await settled();
    assert.deepEqual(asked, ["/user_1/ban", "/user_2/lock", ""]);
    assert.deepEqual([...it.state.pending.keys()], ["user_1", "user_2"]);
    await answer(200, { synced: true });
    assert.equal((await first)?.isDone, true);
    void it.act({ action: "unban", clerkId: "user_1" }, "Ada"); // answered: the next may begin
    assert.equal(it.state.pending.get("user_1")?.call.action, "unban");
  });

  test("an action is in progress until the page shows it, five seconds at most", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { answer } = serve(t);
    const it = manager();
    void it.act(BAN, "Ada");
    await answer(200, { synced: true });
    assert.deepEqual(it.state.pending.get("user_1"), { call: BAN, isAnswered: true });
    t.mock.timers.tick(4_999);
    assert.ok(it.state.pending.has("user_1"));
    t.mock.timers.tick(1);
    assert.ok(!it.state.pending.has("user_1"));
  });

  test("the time limit of an action does not end a later one", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { answer } = serve(t);
    const it = manager();
    void it.act(BAN, "Ada");
    await answer(200, { synced: true });
    t.mock.timers.tick(4_000);
    void it.act({ action: "unban", clerkId: "user_1" }, "Ada");
    t.mock.timers.tick(1_000);
    assert.equal(it.state.pending.get("user_1")?.call.action, "unban");
  });

  test("a failed action, or one that is not in Convex yet, is not in progress", async (t) => {
    const { answer } = serve(t);
    const it = manager();
    for (const [status, body] of [
      [200, { synced: false }],
      [403, { error: { code: "x", message: "No." } }],
    ] as const) {
      void it.act(BAN, "Ada");
      await answer(status, body);
      assert.equal(it.state.pending.size, 0);
    }
  });
});

suite("notices", () => {
  test("success is shown for six seconds; a missing row in Convex stays shown", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { answer } = serve(t);
    const it = manager();
    void it.act(BAN, "Ada");
    await answer(200, { synced: true });
    assert.deepEqual(it.state.notices.map(({ name, call }) => [name, call]), [["Ada", BAN]]);
    t.mock.timers.tick(5_999);
    assert.equal(it.state.notices.length, 1);
    t.mock.timers.tick(1);
    assert.equal(it.state.notices.length, 0);
    void it.act(BAN, "Ada");
    await answer(200, { synced: false, message: "Soon." });
    t.mock.timers.tick(60_000);
    assert.equal(it.state.notices.length, 1);
  });

  test("`do` shows a failure, `act` returns it to its caller", async (t) => {
    const { answer } = serve(t);
    const it = manager();
    const refused = { error: { code: "x", message: "No." } };
    const acted = it.act(BAN, "Ada");
    await answer(403, refused);
    assert.equal((await acted)?.isDone, false);
    assert.equal(it.state.notices.length, 0);
    void it.do(BAN, "Ada");
    await answer(403, refused);
    assert.deepEqual(it.state.notices.map(({ answer: told }) => told.isDone), [false]);
  });

  test("the next action on a user removes that user's notice and no other", async (t) => {
    serve(t);
    const it = manager();
    const told = (call: Call) => it.tell({ call, name: "", answer: { isDone: true, synced: false, message: "" } });
    told(BAN);
    told({ action: "ban", clerkId: "user_2" });
    told({ action: "create", body: {} });
    assert.equal(new Set(it.state.notices.map(({ id }) => id)).size, 3);
    void it.act({ action: "unban", clerkId: "user_1" }, "Ada");
    assert.deepEqual(
      it.state.notices.map(({ call }) => ("clerkId" in call ? call.clerkId : "")),
      ["user_2", ""],
    );
    it.dismiss(it.state.notices[0]!);
    assert.deepEqual(it.state.notices.map(({ call }) => call.action), ["create"]);
  });

  test("a reason that applies to every action is shown with each, until it may have changed", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 0 });
    const { answer } = serve(t);
    const it = manager();
    const refuse = async (code: string, more: object = {}) => {
      void it.act(BAN, "Ada");
      await answer(503, { error: { code, message: "Not now.", ...more } });
    };
    await refuse("clerk_too_busy");
    assert.equal(it.state.outage, null);
    await refuse("not_set_up", { retry_after: 60 });
    assert.equal(it.state.outage, "Not now.");
    t.mock.timers.tick(59_999);
    assert.equal(it.state.outage, "Not now.");
    t.mock.timers.tick(1);
    assert.equal(it.state.outage, null);
    await refuse("not_mounted"); // as a host answers during a rollout
    t.mock.timers.tick(59_999);
    assert.equal(it.state.outage, "Not now.");
    t.mock.timers.tick(1);
    assert.equal(it.state.outage, null);
    await refuse("not_set_up", { retry_after: 60 });
    t.mock.timers.tick(30_000);
    await refuse("not_set_up", { retry_after: 60 });
    t.mock.timers.tick(59_999);
    assert.equal(it.state.outage, "Not now.", "the end of the earlier one is not that of the later one");
    it.connect({ url: "", getToken: async () => "another" }, ENGLISH.manage);
    assert.equal(it.state.outage, "Not now.");
    it.connect({ url: "https://other.example", getToken: async () => "t" }, ENGLISH.manage);
    assert.equal(it.state.outage, null);
  });
});

test("a listener is called for every change until it unsubscribes", () => {
  const it = manager();
  let heard = 0;
  const stop = it.subscribe(() => heard++);
  it.set({ outage: "x" });
  it.set({ outage: null });
  assert.equal(heard, 2);
  stop();
  it.set({ outage: "x" });
  assert.equal(heard, 2);
});

test("an action is in progress until the row has the requested state", () => {
  const cases: [Partial<UserCall>, Partial<UserSummary>, boolean][] = [
    [{ action: "ban" }, { status: "active" }, true],
    [{ action: "ban" }, { status: "banned" }, false],
    [{ action: "unban" }, { status: "banned" }, true],
    [{ action: "unban" }, { status: "active" }, false],
    [{ action: "lock" }, { status: "active" }, true],
    [{ action: "lock" }, { status: "locked" }, false],
    [{ action: "lock" }, { status: "banned" }, false], // locked too, behind the ban
    [{ action: "unlock" }, { status: "locked" }, true],
    [{ action: "unlock" }, { status: "active" }, false],
    [{ action: "role", role: "admin" }, {}, true],
    [{ action: "role", role: "admin" }, { role: "admin" }, false],
    [{ action: "role", role: null }, { role: "admin" }, true],
    [{ action: "role", role: null }, {}, false],
    [{ action: "delete" }, {}, true],
  ];
  for (const [call, user, expected] of cases) {
    for (const isAnswered of [false, true]) {
      const pending = { call: { clerkId: "user_1", ...call } as UserCall, isAnswered };
      assert.equal(isUnderWay(pending, { ...ADA, ...user }), expected, JSON.stringify([call, user]));
    }
  }
  const edit = { action: "update", clerkId: "user_1", body: {} } as const;
  assert.equal(isUnderWay({ call: edit, isAnswered: false }, ADA), true);
  assert.equal(isUnderWay({ call: edit, isAnswered: true }, ADA), false);
});
