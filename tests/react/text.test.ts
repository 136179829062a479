// The texts for a user, an action and an error.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConvexError } from "convex/values";
import { entryText } from "../../react/dist/audit/entryText.js";
import { deniedReason } from "../../react/src/data/denied.ts";
import type { AuditEntry } from "../../react/src/functions.ts";
import { wordsOf } from "../../react/dist/messages/messages.js";
import { errorReason } from "../../react/src/ui/errorReason.ts";
import { prettyJson } from "../../react/src/ui/prettyJson.ts";
import { displayName } from "../../react/src/users/displayName.ts";

const reasonOf = (error: Error) => errorReason(error, wordsOf().messages.ui);

test("a user is shown by the best available name", () => {
  const user = { clerkId: "user_1", phone: "+1", email: "a@b.c", username: "ada", lastName: "Lovelace", firstName: "Ada" };
  const names = ["Ada Lovelace", "Lovelace", "ada", "a@b.c", "+1", "user_1"];
  for (const name of names) {
    assert.equal(displayName(user), name);
    const next = (["firstName", "lastName", "username", "email", "phone"] as const).find((column) => column in user);
    if (next !== undefined) delete (user as Partial<typeof user>)[next];
  }
  assert.equal(displayName({ clerkId: "user_1", firstName: "Ada" }), "Ada");
});

suite("an entry of the audit log", () => {
  const { messages, formats } = wordsOf();
  const text = (entry: Partial<AuditEntry>) => {
    const rest = { _id: "1", _creationTime: 1, name: null, actorName: null };
    return entryText({ ...rest, outcome: "updated", source: "admin", fields: [], ...entry }, messages.audit, formats);
  };

  test("what an admin did and changed, and the reason of a failure", () => {
    assert.equal(text({ action: "ban", fields: ["status"] }), "Ban · status changed");
    assert.equal(text({ action: "update_metadata" }), "Change role or metadata");
    assert.equal(text({ action: "ban", reason: "clerk_too_slow", status: 504 }), "Ban · Clerk did not answer in time (504)");
    assert.equal(text({ action: "delete", reason: "last_admin" }), "Delete · the last active administrator");
    assert.equal(text({ action: "create", change: "created" }), "Create user");
    assert.equal(text({ action: "sync", change: "created" }), "Sync now · new user");
    assert.equal(text({ action: "revoke_session", object: "sess_1" }), "Revoke session · sess_1");
  });

  test("the fields of a change in words, without those that Convex derives", () => {
    assert.equal(text({ fields: ["email", "sortEmail"] }), "Email address changed");
    assert.equal(text({ fields: ["firstName", "sortName", "lockedUntil", "plan"] }), "First name, end of the lock, and plan changed");
    assert.equal(text({ fields: [] }), "");
  });

  test("an unknown code is shown unchanged", () => {
    assert.equal(text({ action: "send_home", reason: "full_moon", status: 418 }), "Send home · full moon (418)");
  });
});

suite("an error", () => {
  test("the message of a function", () => {
    assert.equal(reasonOf(new ConvexError("Not today.")), "Not today.");
    assert.equal(reasonOf(new ConvexError({ message: "Not today.", code: 1 })), "Not today.");
    assert.equal(reasonOf(new ConvexError(null)), new ConvexError(null).message || "No reason was given");
  });

  test("the first line without Convex's marks, and the request id for the log", () => {
    const marks = "[CONVEX Q(users:getUsers)] [Request ID: 0123abcd]";
    assert.equal(reasonOf(new Error(`${marks} Server Error\n  at f`)), "Server Error (request 0123abcd)");
    assert.equal(reasonOf(new Error(marks)), "No reason was given (request 0123abcd)");
    assert.equal(reasonOf(new Error("")), "No reason was given");
    assert.equal(reasonOf(new Error("It broke [CONVEX]\nhere")), "It broke [CONVEX]");
  });

  test("only Convex's own refusals are refusals", () => {
    assert.equal(deniedReason(new ConvexError({ code: "access_denied", reason: "not_admin", message: "" })), "not_admin");
    assert.equal(deniedReason(new ConvexError({ code: "access_denied" })), null);
    assert.equal(deniedReason(new ConvexError({ code: "other", reason: "not_admin" })), null);
    assert.equal(deniedReason(new ConvexError(null)), null);
    assert.equal(deniedReason({ data: { code: "access_denied", reason: "not_admin" } }), null);
  });
});

suite("JSON", () => {
  test("is indented as JSON.stringify does", () => {
    for (const value of [{}, [], { a: [1, { b: "x, y: {" }], "c\"[": [] }, [[], {}, [null]], "text", 7]) {
      const indented = JSON.stringify(value, null, 2);
      for (const spaces of [0, 1, 4]) assert.equal(prettyJson(JSON.stringify(value, null, spaces)), indented);
    }
    assert.equal(prettyJson('{ "a" : [ ] , "b" :\n{ } }'), '{\n  "a": [],\n  "b": {}\n}');
  });

  test("numbers keep all their digits, and text that is no JSON stays", () => {
    assert.equal(prettyJson("[12345678901234567890.10]"), "[\n  12345678901234567890.10\n]");
    assert.equal(prettyJson("{ a: 1 }"), "{ a: 1 }");
  });
});
