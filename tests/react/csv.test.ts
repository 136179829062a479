// Reads a list page by page, and writes it as CSV.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { UsersArgs, UserSummary } from "../../react/src/functions.ts";
import { csvHead, csvName, csvRows } from "../../react/src/users/csv.ts";
import { walk, type ReadPage } from "../../react/src/users/walk.ts";

const user = (number: number, more: object = {}) =>
  ({ _id: `${number}`, _creationTime: 0, clerkId: `user_${number}`, status: "active", createdAt: 0, ...more }) as UserSummary;

// Answers with pages, and keeps what was asked for.
function serve(...pages: UserSummary[][]) {
  const asked: Parameters<ReadPage>[0][] = [];
  const read: ReadPage = async (args) => {
    asked.push(args);
    const at = Number(args.paginationOpts.cursor ?? 0);
    return { page: pages[at]!, isDone: at === pages.length - 1, continueCursor: `${at + 1}` };
  };
  return { asked, read };
}

async function all(read: ReadPage, args: UsersArgs, signal = new AbortController().signal): Promise<string[]> {
  const found: string[] = [];
  for await (const page of walk(read, args, signal)) found.push(...page.map(({ clerkId }) => clerkId));
  return found;
}

suite("reading all that match", () => {
  test("each user once, to the last page, also after an empty one", async () => {
    const { asked, read } = serve([user(1), user(2)], [], [user(2), user(3)]);
    assert.deepEqual(await all(read, { status: "banned", filter: { role: "x" } }), ["user_1", "user_2", "user_3"]);
    assert.deepEqual(asked.map(({ paginationOpts }) => paginationOpts), [
      { numItems: 100, cursor: null },
      { numItems: 100, cursor: "1" },
      { numItems: 100, cursor: "2" },
    ]);
    assert.deepEqual([asked[2]!.status, asked[2]!.filter], ["banned", { role: "x" }]);
    const search = serve([user(1)]);
    await all(search.read, { search: "ada" });
    assert.deepEqual(search.asked.map(({ paginationOpts }) => paginationOpts), [{ numItems: 500, cursor: null }]);
  });

  test("in the order of creation, whatever the list has; a search in its own", async () => {
    for (const [args, sort] of [
      [{ sort: { by: "name", order: "asc" } }, { by: "createdAt", order: "desc" }],
      [{ sort: { by: "createdAt", order: "asc" } }, { by: "createdAt", order: "asc" }],
      [{}, { by: "createdAt", order: "desc" }],
      [{ search: "ada" }, undefined],
    ] as [UsersArgs, UsersArgs["sort"]][]) {
      const { asked, read } = serve([]);
      assert.deepEqual(await all(read, args), []);
      assert.deepEqual(asked[0]!.sort, sort);
    }
  });

  test("it ends when it is cancelled, also while an answer is awaited, and when it fails", async () => {
    const controller = new AbortController();
    const never: ReadPage = () => new Promise(() => {});
    const waiting = all(never, {}, controller.signal);
    controller.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    const { asked, read } = serve([user(1)]);
    await assert.rejects(all(read, {}, controller.signal), { name: "AbortError" });
    assert.ok(asked.length <= 1);
    await assert.rejects(all(() => Promise.reject(new Error("Down")), {}), /Down/);
  });
});

suite("CSV", () => {
  const cells = (more: object, own: string[] = []) => csvRows([user(1, more)], own);

  test("a head with a byte order mark, and a line for each user", () => {
    assert.equal(
      csvHead(["plan"]),
      "\ufeffclerkId,status,firstName,lastName,username,email,emailVerified,phone,role,externalId,createdAt,lastSignInAt,lockedUntil,plan\r\n",
    );
    const times = { createdAt: 1_700_000_000_000, lastSignInAt: 0, lockedUntil: 9e15 };
    assert.equal(
      csvRows([user(1, { ...times, firstName: "Ada", emailVerified: false, plan: "pro" }), user(2)], ["plan"]),
      "user_1,active,Ada,,,,false,,,,2023-11-14T22:13:20.000Z,1970-01-01T00:00:00.000Z,,pro\r\n" +
        "user_2,active,,,,,,,,,1970-01-01T00:00:00.000Z,,,\r\n",
    );
    assert.equal(csvRows([], []), "");
  });

  test("no cell is a formula", () => {
    for (const start of ["=", "+", "-", "@", "\t", "\r", "\n"]) {
      const [, , cell = ""] = cells({ firstName: `${start}1+1` }).split(",");
      assert.match(cell, /^"?'/, JSON.stringify(start));
    }
    assert.ok(cells({ firstName: '=HYPERLINK("http://x","y")' }).includes(`,"'=HYPERLINK(""http://x"",""y"")",`));
    assert.ok(cells({ phone: "+15551234567" }).includes(",'+15551234567,"));
    assert.ok(cells({ firstName: "O'Brien-=+@" }).includes(",O'Brien-=+@,"));
    for (const [text, written] of [
      ["Ann;=1+1", `"Ann;'=1+1"`],
      ["a\n=1", `"a\n'=1"`],
      ["a;\t -1", `"a;'\t' -1"`],
      [" =1", `' =1`],
      ["\n=1", `"'\n'=1"`],
      ['a;"=1', `"a;'""=1"`],
      ["\uff1d1", `'\uff1d1`],
      ["a; b", `"a; b"`],
    ]) {
      assert.ok(cells({ firstName: text }).includes(`,${written},`), JSON.stringify([text, cells({ firstName: text })]));
    }
  });

  test("quotes, commas and lines are quoted, and own columns are texts or JSON", () => {
    assert.ok(cells({ firstName: 'a"b', lastName: "c,d", username: "e\nf", role: " g" }).includes('"a""b","c,d","e\nf",,,," g"'));
    const own = { score: -5, tags: ["a", "b"], big: 12n, none: null, is: true };
    assert.match(cells(own, Object.keys(own)), /,-5,"\[""a"",""b""\]",12,,true\r\n$/);
  });

  test("the file has the viewer's day in its name", () => {
    assert.equal(csvName(new Date(2026, 0, 5, 23, 59)), "users-2026-01-05.csv");
  });
});
