// The state of the lists in the URL.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as audit from "../../react/src/audit/auditView.ts";
import { ENGLISH } from "../../react/dist/messages/messages.js";
import * as invitations from "../../react/src/invitations/invitationCalls.ts";
import { STATUSES } from "../../react/src/ui/statuses.ts";
import { countsOf, keyOf } from "../../react/src/users/useCounts.ts";
import * as users from "../../react/src/users/usersView.ts";

suite("the list of users", () => {
  const read = (query: string) => users.readView(new URLSearchParams(query));
  const write = (view: Partial<users.UsersView>, query = "") =>
    users.writeView(new URLSearchParams(query), { ...users.EVERYONE, sort: users.NEWEST_FIRST, ...view }).toString();

  test("the newest first, unless the URL says otherwise", () => {
    const usual = { ...users.EVERYONE, sort: { by: "createdAt", order: "desc" } };
    assert.deepEqual(read(""), usual);
    assert.deepEqual(read("status=nobody&sort=shoeSize&order=asc"), usual);
    assert.deepEqual(read("q=ada+l&status=locked&sort=email&order=desc"), {
      ...users.NO_FILTER,
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

  test("filters are read as they are written, and what is no filter is ignored", () => {
    const filters = [
      { role: "editor", verified: true, joined: { kind: "last", days: 7 }, signedIn: { kind: "never" } },
      { role: "", verified: false, signedIn: { kind: "before", days: 90 } },
      { joined: { kind: "dates", from: "2024-02-29", to: null }, signedIn: { kind: "dates", from: null, to: "2024-03-01" } },
      { joined: { kind: "dates", from: "2024-03-01", to: "2024-03-01" } },
    ] satisfies Partial<users.Filtered>[];
    const written = filters.map((filter) => write(filter));
    assert.deepEqual(written, [
      "role=editor&verified=yes&joined=7d&signin=never",
      "role=&verified=no&signin=before-90d",
      "joined=2024-02-29..&signin=..2024-03-01",
      "joined=2024-03-01..2024-03-01",
    ]);
    for (const [index, filter] of filters.entries()) {
      assert.deepEqual(read(written[index]!), { ...users.EVERYONE, sort: users.NEWEST_FIRST, ...filter });
    }
    const wrong = ["", "0d", "7", "d", "-7d", "99999d", "before-never", "..", "2024-03-02..2024-03-01", "2023-02-29..", "..0024-01-01", "x..y"];
    for (const text of wrong) {
      assert.equal(users.readWhen(text), null, text);
      assert.deepEqual(read(`joined=${text}&signin=${text}&verified=maybe`), read(""));
    }
    assert.deepEqual(read("joined=never"), read(""));
  });

  test("days begin at midnight, also where a day has 23 hours", () => {
    const zone = process.env.TZ;
    process.env.TZ = "America/New_York"; // the clock goes forward on March 10
    try {
      const today = users.startOf("2024-03-11")!;
      assert.equal(new Date(today).toISOString(), "2024-03-11T04:00:00.000Z");
      const at = (text: string) => Date.parse(text);
      assert.deepEqual(users.filterOf(read("joined=3d&signin=before-1d"), today), {
        createdAt: { from: at("2024-03-09T05:00Z") },
        lastSignInAt: { before: today },
      });
      assert.deepEqual(users.filterOf(read("joined=2024-03-09..2024-03-10&signin=never&role=&verified=no"), today), {
        role: "",
        verified: false,
        createdAt: { from: at("2024-03-09T05:00Z"), before: at("2024-03-11T04:00Z") },
        lastSignInAt: null,
      });
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
    assert.equal(users.filterOf(read("q=a&status=locked"), 0), undefined);
  });

  test("the arguments of the list", () => {
    assert.deepEqual(users.argsOf(read("q=+ada+&sort=name&role=x"), 0), { search: "ada", filter: { role: "x" } });
    assert.deepEqual(users.argsOf(read("q=+&status=banned"), 0), { status: "banned", sort: users.NEWEST_FIRST });
  });

  test("the counts of a search or a filter", () => {
    assert.equal(keyOf(read("q=+&status=banned&sort=name"), 0), "");
    const key = keyOf(read("q=ada&verified=yes&user=1"), 0);
    assert.deepEqual(JSON.parse(key), { search: "ada", filter: { verified: true } });
    const more = { status: "active", count: 100, isMore: true } as const;
    const counted = countsOf(key, [more, { status: "locked", count: 2, isMore: false }]);
    assert.deepEqual([counted.total.count, counted.total.isMore, counted.active.isMore, counted.banned.count], [102, true, true, 0]);
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

suite("the invitations", () => {
  test("the URL has only values that are not the default, and keeps foreign parameters", () => {
    const params = new URLSearchParams("tenant=acme&q=+ada+&status=lost");
    const view = invitations.readView(params);
    assert.deepEqual(view, { search: "ada", status: null });
    assert.equal(invitations.writeView(params, view).toString(), "tenant=acme&q=ada");
    for (const status of invitations.INVITATION_STATUSES) {
      const written = invitations.writeView(params, { search: "", status });
      assert.equal(written.toString(), `tenant=acme&status=${status}`);
      assert.deepEqual(invitations.readView(written), { search: "", status });
    }
  });
});

suite("the audit log", () => {
  const read = (query: string) => audit.readView(new URLSearchParams(query));

  test("invalid parameters are ignored", () => {
    assert.deepEqual(read(""), audit.EVERYTHING);
    assert.deepEqual(read("user=%20&by=&outcome=maybe&from=2026-02-30&until=today"), audit.EVERYTHING);
    const some = { ...audit.EVERYTHING, clerkId: "user_1", outcome: "denied" };
    assert.deepEqual(read("user=%20user_1%20&outcome=denied"), some);
  });

  test("written parameters are read again", () => {
    assert.equal(audit.writeView(new URLSearchParams(), audit.EVERYTHING).toString(), "");
    const some = { clerkId: "user_1", actor: "user_2", action: "ban", from: "2026-11-22", until: "2026-11-23" };
    for (const outcome of audit.OUTCOMES) {
      const written = audit.writeView(new URLSearchParams(), { ...some, outcome });
      const text = `user=user_1&by=user_2&action=ban&outcome=${outcome}&from=2026-11-22&until=2026-11-23`;
      assert.equal(written.toString(), text);
      assert.deepEqual(audit.readView(written), { ...some, outcome });
    }
  });

  test("foreign parameters are kept", () => {
    const params = new URLSearchParams("tenant=acme&user=user_1&outcome=done");
    const written = audit.writeView(params, { ...audit.readView(params), outcome: "denied" });
    assert.equal(written.toString(), "tenant=acme&user=user_1&outcome=denied");
    assert.equal(audit.writeView(params, audit.EVERYTHING).toString(), "tenant=acme");
    assert.equal(params.get("outcome"), "done");
  });

  test("days are the viewer's, and both are inside", () => {
    assert.deepEqual(audit.filterOf(audit.EVERYTHING), {});
    const days = { ...audit.EVERYTHING, actor: "user_1", from: "2026-03-29", until: "2026-03-29" };
    const times = { from: new Date(2026, 2, 29).getTime(), before: new Date(2026, 2, 30).getTime() };
    assert.deepEqual(audit.filterOf(days), { actor: "user_1", ...times });
  });

  test("every outcome has a label of its own", () => {
    const labels = audit.OUTCOMES.map((outcome) => ENGLISH.audit.outcomes[outcome]);
    const actions = ["Started", "Done", "Denied", "Failed", "Outcome unknown"];
    assert.deepEqual(labels, ["Created", "Updated", "Deleted", "Reset", "Merged", ...actions]);
  });
});
