// How the page asks for the row of a user who has just signed up.
import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { ensureUser } from "../../react/src/access/ensureUser.ts";

type Reply = () => Response;

// Answers with `replies` one after the other, the last one again and again. Pauses end at once and are noted.
function serve(t: TestContext, ...replies: Reply[]) {
  const asked: { url: string; token: string | undefined }[] = [];
  const pauses: number[] = [];
  t.mock.method(globalThis, "fetch", async (url: string, init: { headers: Record<string, string> }) => {
    asked.push({ url, token: init.headers.Authorization });
    return replies[Math.min(asked.length, replies.length) - 1]!();
  });
  t.mock.method(globalThis, "setTimeout", (end: () => void, ms: number) => {
    pauses.push(ms);
    queueMicrotask(end);
  });
  return { asked, pauses };
}

const status = (code: number, headers: Record<string, string> = {}) => () => new Response("{}", { status: code, headers });
const never = new AbortController().signal;
const token = async () => "t";

suite("ensureUser", () => {
  test("asks once if that is enough", async (t) => {
    const { asked } = serve(t, status(200));
    await ensureUser("/api/users", token, never);
    assert.deepEqual(asked, [{ url: "/api/users/me", token: "Bearer t" }]);
  });

  test("waits as long as the service says, and gives up after five attempts", async (t) => {
    const { asked, pauses } = serve(t, status(429, { "Retry-After": "7" }), status(503));
    await ensureUser("", token, never);
    assert.equal(asked.length, 5);
    assert.deepEqual(pauses, [7000, 5000, 5000, 5000]);
  });

  test("goes on when the network is back", async (t) => {
    const broken = () => {
      throw new TypeError("Failed to fetch");
    };
    const { asked } = serve(t, broken, status(200));
    await ensureUser("", token, never);
    assert.equal(asked.length, 2);
  });

  test("gets a fresh token once", async (t) => {
    const { asked } = serve(t, status(401));
    const skipped: unknown[] = [];
    await ensureUser("", async (options) => (skipped.push(options?.skipCache), "t"), never);
    assert.deepEqual([asked.length, skipped], [2, [false, true]]);
  });

  for (const code of [403, 404, 405]) {
    test(`does not repeat a ${code}`, async (t) => {
      const { asked } = serve(t, status(code));
      await ensureUser("", token, never);
      assert.equal(asked.length, 1);
    });
  }

  test("asks nothing for a user who has signed out", async (t) => {
    const { asked } = serve(t, status(200));
    await ensureUser("", async () => null, never);
    assert.equal(asked.length, 0);
  });

  test("ends when the page goes", async (t) => {
    const stop = new AbortController();
    const { asked } = serve(t, () => (stop.abort(), new Response("{}", { status: 503 })));
    await ensureUser("", token, stop.signal);
    assert.equal(asked.length, 1);
    await ensureUser("", token, stop.signal);
    assert.equal(asked.length, 1);
  });
});
