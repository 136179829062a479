// The state of the lists in the URL.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as audit from "../../react/src/audit/auditView.ts";
import { STATUSES } from "../../react/src/ui/statuses.ts";
import * as users from "../../react/src/users/usersView.ts";

suite("the list of users", () => {
  const read = (query: string) => users.readView(new URLSearchParams(query));
  const write = (view: Partial<users.UsersView>, query = "") =>
    users.writeView(new URLSearchParams(query), { search: "", status: null, sort: users.NEWEST_FIRST, ...view }).toString();

  test("the newest first, unless the URL says otherwise", () => {
    const usual = { search: "", status: null, sort: { by: "createdAt", order: "desc" } };
    assert.deepEqual(read(""), usual);
    assert.deepEqual(read("status=nobody&sort=shoeSize&order=asc"), usual);
    assert.deepEqual(read("q=ada+l&status=locked&sort=email&order=desc"), {
      search: "ada l",
      status: "locked",
      sort: { by: "email", order: "desc" },
    });
  });

  test("a column starts with the latest time or the first letter", () => {
    for (const [by, order] of [
      ["name", "asc"],
      ["email", "asc"],
      ["createdAt", "desc"],
      ["lastSignInAt", "desc"],
    ] as const) {
      assert.equal(users.naturalOrder(by), order);
      assert.deepEqual(read(`sort=${by}`).sort, { by, order });
      assert.deepEqual(read(`sort=${by}&order=sideways`).sort, { by, order });
    }
  });

  test("the URL has only values that are not the default, and keeps foreign parameters", () => {
    assert.equal(write({}), "");
    assert.equal(write({ sort: { by: "createdAt", order: "desc" } }, "q=a&status=banned&sort=name&order=asc&user=x"), "user=x");
    assert.equal(write({ search: "ada", status: "banned" }), "q=ada&status=banned");
    assert.equal(write({ sort: { by: "createdAt", order: "asc" } }), "sort=createdAt&order=asc");
    assert.equal(write({ sort: { by: "name", order: "asc" } }, "order=desc"), "sort=name");
    assert.equal(write({ sort: { by: "name", order: "desc" } }), "sort=name&order=desc");
    assert.equal(write({ sort: { by: "lastSignInAt", order: "desc" } }), "sort=lastSignInAt");
  });

  test("writing does not change the values that were read", () => {
    const params = new URLSearchParams("q=a");
    users.writeView(params, read(""));
    assert.equal(params.toString(), "q=a");
  });

  test("every status can be selected", () => {
    for (const status of STATUSES) assert.equal(read(write({ status })).status, status);
    assert.ok(["active", "banned", "locked"].every((status) => (STATUSES as readonly string[]).includes(status)));
  });
});

suite("the audit log", () => {
  const read = (query: string) => audit.readView(new URLSearchParams(query));

  test("invalid parameters are ignored", () => {
    assert.deepEqual(read(""), { clerkId: null, outcome: null });
    assert.deepEqual(read("user=%20&outcome=maybe"), { clerkId: null, outcome: null });
    assert.deepEqual(read("user=%20user_1%20&outcome=denied"), { clerkId: "user_1", outcome: "denied" });
  });

  test("written parameters are read again", () => {
    assert.equal(audit.writeView({ clerkId: null, outcome: null }).toString(), "");
    for (const outcome of audit.OUTCOMES) {
      const written = audit.writeView({ clerkId: "user_1", outcome });
      assert.equal(written.toString(), `user=user_1&outcome=${outcome}`);
      assert.deepEqual(audit.readView(written), { clerkId: "user_1", outcome });
    }
  });

  test("every outcome has a label of its own", () => {
    const labels = audit.OUTCOMES.map((outcome) => audit.OUTCOME_LABELS[outcome]);
    assert.deepEqual(labels, ["Created", "Updated", "Deleted", "Reset", "Merged", "Started", "Done", "Denied", "Failed"]);
  });
});
