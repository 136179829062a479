// Patience with Clerk, a session at the local one, and the clock of the relative times.
import assert from "node:assert/strict";
import { beforeEach, suite, test, type TestContext } from "node:test";
import { LocalSession } from "../../examples/dashboard/src/auth/localSession.ts";
import { patiently } from "../../examples/dashboard/src/auth/patience.ts";
import { clockTime, subscribeToClock } from "../../react/src/ui/clock.ts";

const page = new EventTarget();

beforeEach(() => {
  const { addEventListener, removeEventListener } = page;
  Object.assign(globalThis, {
    addEventListener: addEventListener.bind(page),
    removeEventListener: removeEventListener.bind(page),
    document: Object.assign(new EventTarget(), { visibilityState: "hidden" }),
    location: { href: "http://page/?a=b&c" },
  });
});

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
}

suite("patience", () => {
  test("pauses double up to three seconds", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    t.mock.method(Math, "random", () => 1);
    let attempts = 0;
    void patiently(() => Promise.reject(new Error(String(++attempts))), () => false);
    await settled();
    for (const [index, pause] of [250, 500, 1000, 2000, 3000, 3000].entries()) {
      assert.equal(attempts, index + 1);
      t.mock.timers.tick(pause - 1);
      await settled();
      assert.equal(attempts, index + 1);
      t.mock.timers.tick(1);
      await settled();
    }
  });

  test("the pause is half as long at least", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    t.mock.method(Math, "random", () => 0);
    let attempts = 0;
    void patiently(() => Promise.reject(new Error(String(++attempts))), () => false);
    await settled();
    t.mock.timers.tick(124);
    await settled();
    assert.equal(attempts, 1);
    t.mock.timers.tick(1);
    await settled();
    assert.equal(attempts, 2);
  });

  test("ends with an answer, or with an error that is definite", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    assert.equal(await patiently(async () => 7, () => true), 7);
    await assert.rejects(patiently(() => Promise.reject(new Error("no")), () => true), /no/);
  });

  test("the network comes back", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let attempts = 0;
    const answer = patiently(async () => (++attempts < 2 ? Promise.reject(new Error("down")) : attempts), () => false);
    await settled();
    page.dispatchEvent(new Event("online"));
    assert.equal(await answer, 2);
  });
});

suite("a session at the local Clerk", () => {
  type Reply = [status: number, body?: unknown] | Error;
  const jwt = (seconds: number, name = "") =>
    `h.${Buffer.from(JSON.stringify({ iat: 5000, exp: 5000 + seconds, name })).toString("base64url")}.s`;
  const client = (last: string | null, ...sessions: [string, string][]): Reply => [
    200,
    { response: { sessions: sessions.map(([id, status]) => ({ id, status })), last_active_session_id: last } },
  ];

  function serve(t: TestContext, replies: Record<string, Reply>): string[] {
    const asked: string[] = [];
    t.mock.method(globalThis, "fetch", async (url: string, init: RequestInit) => {
      const path = url.replace("http://clerk/v1/client", "");
      asked.push(`${init.method} ${path}`);
      assert.equal(init.credentials, "include");
      const reply = replies[path]!;
      if (reply instanceof Error) throw reply;
      return Response.json(reply[1] ?? {}, { status: reply[0] });
    });
    return asked;
  }

  test("the last active one, else another active one, else none", async (t) => {
    for (const [reply, expected] of [
      [client("s1", ["s1", "active"], ["s2", "active"]), "s1"],
      [client("s1", ["s1", "ended"], ["s2", "active"], ["s3", "active"]), "s3"],
      [client(null, ["s1", "ended"]), null],
      [[401], null],
    ] as [Reply, string | null][]) {
      serve(t, { "": reply });
      const session = new LocalSession("http://clerk");
      assert.deepEqual(session.state, { isLoaded: false, sessionId: null });
      await settled();
      assert.deepEqual(session.state, { isLoaded: true, sessionId: expected });
    }
  });

  test("signing in comes back to this page", (t) => {
    serve(t, { "": [401] });
    const url = new LocalSession("http://clerk").signInUrl();
    assert.equal(url, "http://clerk/sign-in?redirect_url=http%3A%2F%2Fpage%2F%3Fa%3Db%26c");
  });

  test("a page that becomes visible asks again, and tells listeners of another session", async (t) => {
    const replies = { "": client("s1", ["s1", "active"]) };
    const asked = serve(t, replies);
    const session = new LocalSession("http://clerk");
    await settled();
    let heard = 0;
    session.subscribe(() => heard++);
    document.dispatchEvent(new Event("visibilitychange"));
    await settled();
    assert.equal(asked.length, 1);
    Object.assign(document, { visibilityState: "visible" });
    document.dispatchEvent(new Event("visibilitychange"));
    await settled();
    assert.deepEqual([asked.length, heard], [2, 0]);
    replies[""] = client("s2", ["s2", "active"]);
    document.dispatchEvent(new Event("visibilitychange"));
    await settled();
    assert.deepEqual([session.state.sessionId, heard], ["s2", 1]);
  });

  test("a token is fetched once, and again ten seconds before its end", async (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: 0 });
    const path = "/sessions/s1/tokens";
    const replies: Record<string, Reply> = { "": client("s1", ["s1", "active"]), [path]: [200, { jwt: jwt(60) }] };
    const asked = serve(t, replies);
    const session = new LocalSession("http://clerk");
    assert.equal(await session.getToken(), null);
    await settled();
    assert.deepEqual(await Promise.all([session.getToken(), session.getToken()]), [jwt(60), jwt(60)]);
    assert.deepEqual(asked, ["GET ", `POST ${path}`]);
    replies[path] = [200, { jwt: jwt(60, "other") }];
    t.mock.timers.tick(49_999);
    assert.equal(await session.getToken(), jwt(60));
    t.mock.timers.tick(1);
    assert.equal(await session.getToken(), jwt(60, "other"));
    assert.equal(asked.length, 3);
    await session.getToken({ skipCache: true });
    assert.equal(asked.length, 4);
  });

  test("an ended session is left", async (t) => {
    const replies: Record<string, Reply> = { "": client("s1", ["s1", "active"]), "/sessions/s1/tokens": [404] };
    serve(t, replies);
    const session = new LocalSession("http://clerk");
    await settled();
    replies[""] = client("s2", ["s2", "active"]);
    assert.equal(await session.getToken(), null);
    assert.equal(session.state.sessionId, "s2");
    Object.assign(replies, { "/sessions/s2/tokens": [404] });
    assert.equal(await session.getToken(), null);
    assert.equal(session.state.sessionId, null);
  });

  test("a busy or broken Clerk gives no answer", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    for (const reply of [[500], [429], new TypeError("down")] as Reply[]) {
      const replies: Record<string, Reply> = { "": client("s1", ["s1", "active"]), "/sessions/s1/tokens": reply };
      serve(t, replies);
      const session = new LocalSession("http://clerk");
      await settled();
      const token = session.getToken();
      await settled();
      replies["/sessions/s1/tokens"] = [200, { jwt: jwt(60) }];
      t.mock.timers.tick(250);
      assert.equal(await token, jwt(60));
      assert.equal(session.state.sessionId, "s1");
    }
  });

  test("a failed sign-out is reported", async (t) => {
    const path = "/sessions/s1/remove";
    const replies: Record<string, Reply> = { "": client("s1", ["s1", "active"]), [path]: [500] };
    const asked = serve(t, replies);
    const session = new LocalSession("http://clerk");
    await session.signOut();
    await settled();
    assert.deepEqual(asked, ["GET "]);
    await assert.rejects(session.signOut());
    assert.equal(session.state.sessionId, "s1");
    replies[path] = [404]; // it is over already
    await session.signOut();
    assert.equal(session.state.sessionId, null);
  });
});

test("one timer ticks every ten seconds while there are listeners", (t) => {
  t.mock.timers.enable({ apis: ["setInterval", "Date"], now: 1000 });
  let heard = 0;
  const stop = [subscribeToClock(() => heard++), subscribeToClock(() => heard++)];
  assert.equal(clockTime(), 1000);
  t.mock.timers.tick(9_999);
  assert.deepEqual([heard, clockTime()], [0, 1000]);
  t.mock.timers.tick(1);
  assert.deepEqual([heard, clockTime()], [2, 11_000]);
  stop[0]!();
  t.mock.timers.tick(10_000);
  assert.equal(heard, 3);
  stop[1]!();
  t.mock.timers.tick(60_000);
  assert.deepEqual([heard, clockTime()], [3, 21_000]);
  subscribeToClock(() => heard++)();
  assert.equal(clockTime(), 81_000);
});
