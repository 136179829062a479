// The calls of the page to the service, and the messages for their answers.
import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { ENGLISH } from "clerk-convex-react";
import * as calls from "../../react/src/manage/calls.ts";
import type { Answer, Call, Problem, Service } from "../../react/src/manage/calls.ts";

type Asked = { url: string; init: RequestInit & { headers: Record<string, string> } };

// Answers with `replies` one after the other, the last one again and again.
function serve(t: TestContext, ...replies: (() => Response | Promise<Response>)[]): Asked[] {
  const asked: Asked[] = [];
  t.mock.method(globalThis, "fetch", async (url: string, init: Asked["init"]) => {
    asked.push({ url, init });
    return replies[Math.min(asked.length, replies.length) - 1]!();
  });
  return asked;
}

const json = (status: number, body: unknown) => () => Response.json(body, { status });
const refusal = (status: number, error: object) => json(status, { error: { code: "x", message: "No.", ...error } });
const BAN: Call = { action: "ban", clerkId: "user_1" };
const send = (call: Call, service: Service) => calls.send(call, service, ENGLISH.manage);
const service = (token: string | null = "t") => ({ url: "https://s/api/users", getToken: async () => token });

function setOnline(onLine: boolean): void {
  Object.defineProperty(navigator, "onLine", { value: onLine, configurable: true });
}

function problem(answer: Answer): Problem {
  assert.equal(answer.isDone, false);
  return answer as Problem;
}

suite("the request", () => {
  const calls: [Call, string, string, unknown][] = [
    [{ action: "create", body: { username: "ada" } }, "POST", "", { username: "ada" }],
    [{ action: "update", clerkId: "user_1", body: { first_name: null } }, "PATCH", "/user_1", { first_name: null }],
    [{ action: "role", clerkId: "user_1", role: "admin" }, "PATCH", "/user_1/metadata", { public_metadata: { role: "admin" } }],
    [{ action: "role", clerkId: "user_1", role: null }, "PATCH", "/user_1/metadata", { public_metadata: { role: null } }],
    [{ action: "delete", clerkId: "a/b" }, "DELETE", "/a%2Fb", undefined],
    [BAN, "POST", "/user_1/ban", undefined],
    [{ action: "unlock", clerkId: "user_1" }, "POST", "/user_1/unlock", undefined],
  ];
  for (const [call, method, path, body] of calls) {
    test(`${method} ${path}`, async (t) => {
      const [asked] = [serve(t, json(200, { synced: true }))];
      assert.deepEqual(await send(call, service()), { isDone: true, synced: true, message: "" });
      const [{ url, init }] = asked as [Asked];
      assert.deepEqual([url, init.method], [`https://s/api/users${path}`, method]);
      assert.equal(init.headers.Authorization, "Bearer t");
      assert.match(init.headers["X-Request-Id"]!, /^req_[0-9a-f]{24}$/);
      assert.equal(init.headers["Content-Type"], body === undefined ? undefined : "application/json");
      assert.deepEqual(init.body === null ? undefined : JSON.parse(init.body as string), body);
      assert.equal(asked.length, 1);
    });
  }

  test("a refused token is replaced once", async (t) => {
    const asked = serve(t, refusal(401, { code: "expired_token" }), json(200, { synced: true }));
    const skipped: unknown[] = [];
    const getToken = async (options?: { skipCache?: boolean }) => (skipped.push(options?.skipCache), "t");
    assert.equal((await send(BAN, { url: "", getToken })).isDone, true);
    assert.deepEqual([asked.length, skipped], [2, [false, true]]);
    serve(t, refusal(401, { code: "expired_token" }));
    assert.equal(problem(await send(BAN, { url: "", getToken })).code, "expired_token");
    assert.equal(skipped.length, 4);
  });

  test("another refusal is not retried", async (t) => {
    const asked = serve(t, refusal(401, { code: "pending_session" }));
    await send(BAN, service());
    assert.equal(asked.length, 1);
  });
});

suite("the answer", () => {
  test("done at Clerk, and not in Convex yet", async (t) => {
    serve(t, json(200, { synced: false, message: "Soon." }));
    assert.deepEqual(await send(BAN, service()), { isDone: true, synced: false, message: "Soon." });
  });

  test("the messages of the service", async (t) => {
    serve(t, refusal(422, { request_id: "req_1", clerk_message: "Taken." }));
    const { requestId, ...told } = problem(await send(BAN, service()));
    assert.equal(requestId, "req_1");
    assert.deepEqual(told, {
      isDone: false,
      mayBeDone: false,
      code: "x",
      message: "No. Clerk’s words: “Taken.”",
      fields: {},
      retryAt: 0,
      canRetry: false,
    });
  });

  test("whether it may have been done, and whether it can be tried again", async (t) => {
    for (const [status, error, mayBeDone, canRetry] of [
      [500, {}, true, true],
      [502, {}, false, true],
      [504, { may_be_done: true }, true, true],
      [500, { may_be_done: false }, false, true],
      [401, {}, false, true],
      [409, {}, false, true],
      [429, {}, false, true],
      [403, {}, false, false],
      [404, {}, false, false],
    ] as const) {
      serve(t, refusal(status, error));
      const told = problem(await send(BAN, service()));
      assert.deepEqual([status, told.mayBeDone, told.canRetry], [status, mayBeDone, canRetry]);
    }
  });

  test("the time of the next try", async (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: 1000 });
    serve(t, refusal(429, { retry_after: 7 }));
    assert.equal(problem(await send(BAN, service())).retryAt, 8000);
  });

  test("the wrong fields", async (t) => {
    const errors = [
      { field: "public_metadata.role", message: "is no role" },
      { field: "public_metadata.x", message: "Second" },
      { field: "username", message: "Too short!" },
    ];
    serve(t, refusal(422, { errors }));
    const { fields } = problem(await send(BAN, service()));
    assert.deepEqual(fields, { public_metadata: "This is no role.", username: "Too short!" });
    serve(t, refusal(422, { errors: "none" }));
    assert.deepEqual(problem(await send(BAN, service())).fields, {});
  });

  test("the identifier that is taken, if only one was sent", async (t) => {
    serve(t, refusal(422, { code: "form_identifier_exists", clerk_message: "Taken." }));
    const taken = async (body: object) =>
      problem(await send({ action: "create", body } as Call, service())).fields;
    assert.deepEqual(await taken({ username: "ada", first_name: "Ada" }), { username: "Taken." });
    assert.deepEqual(await taken({ username: "ada", email_address: "a@b.c" }), {});
    serve(t, refusal(422, { code: "form_identifier_exists" }));
    assert.deepEqual(await taken({ external_id: "1" }), { external_id: "No." });
    assert.deepEqual(problem(await send(BAN, service())).fields, {});
  });
});

suite("no answer of the service's", () => {
  const UNKNOWN = /It may have been done all the same/;
  const NOTHING = /Nothing was changed\.$/;

  test("an answer of a host of static files", async (t) => {
    const page = () => new Response("<html>", { status: 200 });
    for (const reply of [page, json(404, {}), json(405, null), json(200, {})]) {
      serve(t, reply);
      const told = problem(await send(BAN, service()));
      assert.deepEqual([told.code, told.canRetry, told.mayBeDone], ["not_mounted", false, false]);
      assert.match(told.message, /https:\/\/s\/api\/users/);
      assert.match(told.message, NOTHING);
    }
  });

  test("an answer of a proxy", async (t) => {
    for (const [status, mayBeDone] of [[502, true], [500, true], [413, false]] as const) {
      serve(t, () => new Response("<html>", { status }));
      const told = problem(await send(BAN, service()));
      assert.deepEqual([told.code, told.canRetry, told.mayBeDone], [`status_${status}`, true, mayBeDone]);
      assert.match(told.message, mayBeDone ? UNKNOWN : NOTHING);
    }
  });

  test("no user is signed in, or Clerk cannot be reached", async (t) => {
    const asked = serve(t, json(200, { synced: true }));
    assert.equal(problem(await send(BAN, service(null))).code, "signed_out");
    const getToken = () => Promise.reject(new Error("down"));
    assert.equal(problem(await send(BAN, { url: "", getToken })).code, "no_clerk");
    assert.equal(asked.length, 0);
  });

  test("a token that does not arrive is waited for ten seconds", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const answer = send(BAN, { url: "", getToken: () => new Promise(() => {}) });
    let isThere = false;
    void answer.then(() => (isThere = true));
    t.mock.timers.tick(9_999);
    await new Promise(setImmediate);
    assert.equal(isThere, false);
    t.mock.timers.tick(1);
    assert.equal(problem(await answer).code, "no_clerk");
  });

  test("no network, a broken connection, no answer in time", async (t) => {
    setOnline(true);
    const failing = (error: Error) => () => Promise.reject(error);
    for (const [error, code] of [
      [new TypeError("fetch failed"), "no_service"],
      [new DOMException("", "TimeoutError"), "too_slow"],
      [new DOMException("", "AbortError"), "no_service"],
    ] as const) {
      serve(t, failing(error));
      const told = problem(await send(BAN, service()));
      assert.deepEqual([told.code, told.mayBeDone, told.canRetry], [code, true, true]);
      assert.match(told.message, UNKNOWN);
    }
    setOnline(false);
    const told = problem(await send(BAN, service()));
    assert.deepEqual([told.code, told.mayBeDone], ["no_network", false]);
  });

  test("an incomplete body is no answer", async (t) => {
    const body = () => new ReadableStream({ start: (stream) => stream.error(new TypeError("terminated")) });
    setOnline(true);
    serve(t, () => new Response(body(), { status: 200 }));
    assert.equal(problem(await send(BAN, service())).mayBeDone, true);
  });
});
