// What the service says about sessions and Sync now, in words.
import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { ENGLISH } from "clerk-convex-react";
import { ask } from "../../react/src/manage/calls.ts";
import * as sessions from "../../react/src/manage/sessionCalls.ts";
import { sheet } from "../../react/dist/messages/sheet.js";

const NO_DEVICE = {
  device_type: null,
  browser_name: null,
  browser_version: null,
  ip_address: null,
  city: null,
  country: null,
};
const service = { url: "/api", getToken: async () => "t" };

test("the name of a device has what Clerk knows", () => {
  const name = (device: Partial<sessions.Device> | null) => sessions.deviceText(device && { ...NO_DEVICE, ...device }, sheet);
  const chrome = { browser_name: "Chrome", browser_version: "131.0.6778.86" };
  assert.equal(name({ ...chrome, device_type: "Macintosh" }), "Chrome 131 on Macintosh");
  assert.equal(name(chrome), "Chrome 131");
  assert.equal(name({ browser_name: "Safari", device_type: "iPhone" }), "Safari on iPhone");
  assert.equal(name({ browser_version: "131.0", device_type: "Windows" }), "Windows");
  assert.equal(name({}), "Unknown device");
  assert.equal(name(null), "Unknown device");
});

test("the place of a device has what Clerk knows", () => {
  const place = (device: Partial<sessions.Device>) => sessions.placeText({ ...NO_DEVICE, ...device });
  assert.equal(place({ city: "Berlin", country: "DE", ip_address: "192.0.2.1" }), "Berlin, DE, 192.0.2.1");
  assert.equal(place({ country: "DE" }), "DE");
  assert.equal(place({}), "");
  assert.equal(sessions.placeText(null), "");
});

test("what Sync now has found", () => {
  const found = (outcome: string) => sheet.synced(sessions.readSynced({ user: {}, synced: true, outcome })!.outcome);
  for (const [outcome, words] of [
    ["created", /was missing here/],
    ["updated", /was changed to what Clerk has/],
    ["unchanged", /as Clerk has it/],
    ["stale", /newer.*Nothing was changed/],
    ["tombstoned", /stays deleted/],
    ["brandnew", /brandnew/],
  ] as const) {
    assert.match(found(outcome), words);
  }
  assert.ok(sessions.readSynced({ deleted: true, synced: true, outcome: "deleted" })!.isDeleted);
  assert.ok(!sessions.readSynced({ synced: true, outcome: "created" })!.isDeleted);
  for (const body of [null, {}, { outcome: 1 }]) assert.equal(sessions.readSynced(body), undefined);
});

suite("sessions", () => {
  test("the list, and what was revoked", () => {
    assert.deepEqual(sessions.readSessions({ sessions: [], has_more: true }), { sessions: [], hasMore: true });
    assert.deepEqual(sessions.readRevoked({ session: { id: "sess_1" } }), { count: 1, hasMore: false });
    assert.deepEqual(sessions.readRevoked({ revoked: 3, has_more: true }), { count: 3, hasMore: true });
    for (const body of [null, {}, { sessions: 1 }, { session: null }]) {
      assert.equal(sessions.readSessions(body), undefined);
      assert.equal(sessions.readRevoked(body), undefined);
    }
  });

  test("the requests", () => {
    assert.deepEqual(sessions.listSessions("a/b"), { method: "GET", path: "/a%2Fb/sessions?limit=100" });
    const body = { session_id: "sess_1" };
    assert.deepEqual(sessions.revokeSession("user_1", "sess_1"), { method: "POST", path: "/user_1/sessions/revoke", body });
    assert.deepEqual(sessions.revokeSessions("user_1"), { method: "POST", path: "/user_1/sessions/revoke_all" });
    assert.deepEqual(sessions.syncNow("user_1"), { method: "POST", path: "/user_1/sync" });
  });
});

test("addresses: emails and then phones, the primary ones first", () => {
  const email = (id: string | null, email_address: string, verified: boolean) => ({ id, email_address, verified });
  const user = {
    email_addresses: [email("idn_1", "a@example.com", false), email("idn_2", "b@example.com", true), email(null, "c@example.com", true)],
    phone_numbers: [{ id: "idn_3", phone_number: "+15555550100", verified: true }],
    primary_email_address_id: "idn_2",
    primary_phone_number_id: null,
  };
  const found = sessions.readAddresses({ user })!.map(({ kind, text, isPrimary, isVerified }) => [kind, text, isPrimary, isVerified]);
  assert.deepEqual(found, [
    ["email", "b@example.com", true, true],
    ["email", "a@example.com", false, false],
    ["email", "c@example.com", false, true],
    ["phone", "+15555550100", false, true],
  ]);
  assert.equal(new Set(sessions.readAddresses({ user })!.map(({ id }) => id)).size, 4);
  for (const body of [null, {}, { user: {} }, { user: { email_addresses: [] } }]) {
    assert.equal(sessions.readAddresses(body), undefined);
  }
  assert.deepEqual(sessions.lookAt("a/b"), { method: "GET", path: "/a%2Fb" });
});

test("metadata is sent as the text that it is", async (t) => {
  const request = sessions.updateMetadata("user_1", '{"n":0.10000000000000000001}');
  const mocked = t.mock.method(globalThis, "fetch", async () => Response.json({ user: {}, synced: true }));
  const answer = await ask(request, service, ENGLISH.manage, sessions.readUpdated);
  assert.deepEqual(answer, { isDone: true, value: { news: "" } });
  const [url, { method, body, headers }] = mocked.mock.calls[0]!.arguments as [string, any];
  assert.deepEqual([url, method, body], ["/api/user_1/metadata", "PATCH", '{"public_metadata":{"n":0.10000000000000000001}}']);
  assert.equal(headers["Content-Type"], "application/json");
  assert.deepEqual(sessions.readUpdated({ synced: false, message: "Later." }), { news: "Later." });
  assert.equal(sessions.readUpdated({}), undefined);
});

suite("a question", () => {
  const fail = (t: TestContext, status: number) =>
    t.mock.method(globalThis, "fetch", async () => new Response("<html>", { status }));

  test("a failure says nothing about changes, and a request that changes something does", async (t) => {
    fail(t, 502);
    for (const [request, mayBeDone, words] of [
      [sessions.listSessions("user_1"), false, /answered 502\.$/],
      [sessions.revokeSessions("user_1"), true, /It may have been done all the same/],
    ] as const) {
      const answer = await ask(request, service, ENGLISH.manage, sessions.readSessions);
      assert.ok(!answer.isDone);
      assert.equal(answer.mayBeDone, mayBeDone);
      assert.match(answer.message, words);
    }
  });

  test("an answer of another kind is none of the service's", async (t) => {
    t.mock.method(globalThis, "fetch", async () => Response.json({ users: [] }));
    const answer = await ask(sessions.listSessions("user_1"), service, ENGLISH.manage, sessions.readSessions);
    assert.ok(!answer.isDone);
    assert.equal(answer.code, "not_mounted");
  });
});
