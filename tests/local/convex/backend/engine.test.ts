import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { UserIdentity } from "convex/server";

import { notFound, type LogEntry } from "../../../../clerk_convex/local/convex/backend/engine.ts";
import { call, eventually, failure, startEngine, value } from "./helpers.ts";

test("a function is known by its path, with and without .js, with its kind and visibility", async () => {
  const engine = await startEngine();
  const described = (path: string): unknown[] => {
    const { kind, visibility } = engine.describe(path) ?? {};
    return [kind, visibility];
  };
  assert.deepEqual(described("cases:store"), ["mutation", "public"]);
  assert.deepEqual(described("cases.js:note"), ["mutation", "internal"]);
  assert.deepEqual(described("script:look"), ["query", "internal"]);
  assert.deepEqual(described("cases:twice"), ["action", "public"]);
  for (const path of ["cases:nothing", "nothing:cases", "lib/text:shout", "schema:default", "cases", ""]) {
    assert.equal(engine.describe(path), null, path);
  }
  assert.equal(await value(engine, "cases.js:echo", { value: 1 }), 1);
  assert.equal(
    await failure(engine, "cases.js:nothing"),
    "Could not find public function for 'cases:nothing'. Did you forget to run `npx convex dev` or `npx convex deploy`?",
  );
});

test("every Convex value is returned unchanged, in its encoding", async () => {
  const engine = await startEngine();
  const bytes = new Uint8Array([0, 255]).buffer;
  const all = {
    nan: NaN,
    inf: -Infinity,
    zero: -0,
    big: -(2n ** 63n),
    bytes,
    nothing: null,
    list: [1.5, "é", true],
  };
  assert.deepEqual(await value(engine, "cases:echo", { value: all }), all);
  const outcome = await call(engine, "cases:echo", { value: [NaN, -0, 1n, bytes] });
  assert.ok(outcome.ok);
  assert.deepEqual(outcome.value, [
    { $float: "AAAAAAAA+H8=" },
    { $float: "AAAAAAAAAIA=" },
    { $integer: "AQAAAAAAAAA=" },
    { $bytes: "AP8=" },
  ]);
  await value(engine, "cases:storeMade", { what: "numbers", nested: false });
  const [row] = await value(engine, "cases:stored");
  assert.deepEqual([row.nan, row.infinity, row.zero, row.big], [NaN, -Infinity, -0, 2n ** 62n]);
  assert.deepEqual(new Uint8Array(row.bytes), new Uint8Array([1, 2]));
});

test("a function gets the caller's identity, or null", async () => {
  const engine = await startEngine();
  const identity = {
    subject: "user_1",
    issuer: "https://a",
    tokenIdentifier: "https://a|user_1",
    org: { id: 1 },
  };
  assert.deepEqual(
    await value(engine, "cases:whoami", {}, { identity: identity as unknown as UserIdentity }),
    identity,
  );
  assert.equal(await value(engine, "cases:whoami"), null);
});

test("functions see the deployment's environment, while they are imported and while they run, and no other", async () => {
  process.env.HOME ??= "/nowhere"; // the host's, which the function asks for in vain
  const engine = await startEngine({ env: { GREETING: "hello" } });
  assert.deepEqual(await value(engine, "cases:greeting"), ["hello", "hello", null]);
});

test("arguments are checked before the function runs, and the error has Convex's words", async () => {
  const engine = await startEngine();
  assert.equal(
    await failure(engine, "cases:note", { key: 5 }),
    "ArgumentValidationError: Value does not match validator.\nPath: .key\nValue: 5.0\nValidator: v.string()",
  );
  assert.equal(
    await failure(engine, "cases:note", {}),
    "ArgumentValidationError: Object is missing the required field `key`. Consider wrapping the field validator in " +
      "`v.optional(...)` if this is expected.\n\nObject: {}\nValidator: v.object({key: v.string()})",
  );
  assert.equal(
    await failure(engine, "cases:note", { key: "a", toString: 1 }),
    "ArgumentValidationError: Object contains extra field `toString` that is not in the validator.\n\n" +
      'Object: {key: "a", toString: 1.0}\nValidator: v.object({key: v.string()})',
  );
  assert.deepEqual(await value(engine, "cases:log"), []);
});

test("a refused return value undoes all writes, in a call and in a nested call", async () => {
  const engine = await startEngine();
  const commits: string[][] = [];
  engine.onCommit((writes) => commits.push([...writes]));
  assert.equal(
    await failure(engine, "cases:refused"),
    "ReturnsValidationError: Value does not match validator.\nValue: 5.0\nValidator: v.string()",
  );
  assert.match(
    await failure(engine, "cases:returnMade", { what: "8,193 elements" }),
    /return value invalid: Array length/,
  );
  assert.deepEqual(commits, []);
  assert.match(await value(engine, "cases:catchRefused"), /^ReturnsValidationError/);
  assert.deepEqual(await value(engine, "cases:log"), ["kept"]);
});

test("an error has the thrown message and its place in the functions", async () => {
  const engine = await startEngine();
  const boom = await failure(engine, "cases:wrongly", { how: "plain" });
  assert.match(boom, /^Uncaught Error: boom\n {4}at .*\(\.\.\/convex\/cases\.ts:\d+:\d+\)/);
  assert.doesNotMatch(boom, /node_modules|file:|backend/);
  assert.match(await failure(engine, "cases:wrongly", { how: "type" }), /^Uncaught TypeError: not that\n/);
  assert.equal(await failure(engine, "cases:wrongly", { how: "text" }), "Uncaught only text");
  const outcome = await call(engine, "cases:wrongly", { how: "convex" });
  assert.ok(!outcome.ok);
  assert.match(outcome.errorMessage, /^Uncaught ConvexError: \{"code":"full","left":"0n"\}/);
  assert.deepEqual(outcome.errorData, { code: "full", left: { $integer: "AAAAAAAAAAA=" } });
  assert.deepEqual(await value(engine, "cases:log"), []);
});

test("the clock stands still within a transaction and never goes back between two", async () => {
  const readings = [5000.7, 4000, 6000];
  let reading = 0;
  const engine = await startEngine({ now: () => readings[Math.min(reading, 2)] as number });
  assert.deepEqual(await value(engine, "cases:times"), Array(5).fill(5000));
  reading = 1;
  assert.deepEqual(await value(engine, "cases:times"), Array(5).fill(5000));
  reading = 2;
  assert.deepEqual(await value(engine, "cases:times"), Array(5).fill(6000));
  assert.ok(Date.now() > 6000);
});

test("console output becomes the call's log lines, in Convex's form, 256 at most", async () => {
  const engine = await startEngine();
  const few = await call(engine, "cases:talk", { lines: 1 });
  assert.deepEqual(few.logLines, [
    "[LOG] 'text' { a: 1 } 5",
    "[ERROR] 'no'",
    "[DEBUG] [ 1 ]",
    "[INFO] 0",
    "[WARN] 'nested'",
  ]);
  const many = await call(engine, "cases:talk", { lines: 300 });
  assert.equal(many.logLines.length, 256);
  assert.equal(many.logLines.at(-1), "[ERROR] Log overflow (maximum 256). Remaining log lines omitted.");
});

test("a call returns the tables that it read and wrote", async () => {
  const engine = await startEngine();
  const write = await call(engine, "sync:apply", { changes: [{ key: "a", note: "b", at: 1 }] });
  assert.ok(write.ok);
  assert.deepEqual(write.writes, new Set(["people", "versions", "log"]));
  const read = await call(engine, "people:list");
  assert.ok(read.ok);
  assert.deepEqual([read.reads, read.writes], [new Set(["people"]), new Set()]);
  const id = await value(engine, "cases:store", { fields: {} });
  assert.deepEqual((await call(engine, "cases:one", { id })).reads, new Set(["anything"]));
  // A read that finds nothing is a read too, and one that fails as well.
  assert.deepEqual(
    (await call(engine, "cases:page", { paginationOpts: { numItems: 1, cursor: null } })).reads,
    new Set(["versions"]),
  );
  assert.deepEqual(
    (await call(engine, "cases:page", { paginationOpts: { numItems: 1, cursor: "?" } })).reads,
    new Set(["versions"]),
  );
});

test("each commit that wrote is announced once, numbered, before its call returns; an undone one is not", async () => {
  const engine = await startEngine();
  const seen: unknown[] = [];
  const stop = engine.onCommit((writes, commit) => seen.push([commit, ...writes]));
  const first = await call(engine, "cases:store", { fields: {} });
  assert.deepEqual(seen, [[1, "anything"]]);
  await call(engine, "cases:wrongly", { how: "plain" });
  await call(engine, "cases:stored");
  await call(engine, "cases:catchRefused");
  assert.deepEqual(seen, [
    [1, "anything"],
    [2, "log"],
  ]);
  assert.equal(first.snapshot, 0);
  assert.equal((await call(engine, "cases:stored")).snapshot, 2);
  stop();
  await call(engine, "cases:store", { fields: {} });
  assert.equal(seen.length, 2);
});

test("calls run one after the other: a query sees only whole transactions, in the order of the calls", async () => {
  const engine = await startEngine();
  const keys = Array.from({ length: 50 }, (_, i) => String(i));
  const calls = keys.flatMap((key) => [value(engine, "cases:note", { key }), value(engine, "cases:log")]);
  const results = await Promise.all(calls);
  for (const [i] of keys.entries()) {
    assert.deepEqual(results[2 * i + 1], keys.slice(0, i + 1));
  }
});

test("an action's mutations are transactions of their own, and actions run at the same time", async () => {
  const engine = await startEngine();
  const outcome = await call(engine, "cases:twice", { key: "a" });
  assert.ok(outcome.ok);
  assert.deepEqual(
    (outcome.value as string[]).filter((key) => !key.includes("later")),
    ["a1", "a2"],
  );
  assert.deepEqual(outcome.logLines, ["[LOG] 'acting'"]);
  assert.deepEqual(outcome.writes, new Set(["log", "_scheduled_functions"]));
  await eventually(async () => (await value(engine, "cases:log")).includes("a later"));
  await Promise.all([
    value(engine, "cases:meet", { me: "x", other: "y" }),
    value(engine, "cases:meet", { me: "y", other: "x" }),
  ]);
});

test("a scheduled function runs after the commit, is announced, and may fail without an effect on others", async () => {
  const entries: LogEntry[] = [];
  const engine = await startEngine({ log: (entry) => entries.push(entry) });
  const commits: Set<string>[] = [];
  engine.onCommit((writes) => commits.push(writes));
  await value(engine, "cases:later", { key: "soon", delay: 0, fails: false, what: "note" });
  await value(engine, "cases:later", { key: "plain", delay: 0, fails: false, what: "wrongly" });
  await eventually(async () => /success.*failed/.test(JSON.stringify(await value(engine, "cases:jobs"))));
  assert.deepEqual(await value(engine, "cases:log"), ["soon"]);
  assert.deepEqual(await value(engine, "cases:jobs"), [
    ["cases:note", "success"],
    ["cases:wrongly", "failed"],
  ]);
  assert.ok(commits.some((writes) => writes.has("log")));
  assert.deepEqual(
    entries.map((entry) => entry.function),
    ["M(cases:wrongly)"],
  );
  assert.match(entries[0]?.error ?? "", /^Uncaught Error: boom\n {4}at /);
});

test("output and errors of functions are logged with their names, and nothing else", async () => {
  const entries: LogEntry[] = [];
  const engine = await startEngine({ log: (entry) => entries.push(entry) });
  await call(engine, "cases:talk", { lines: 1 });
  await call(engine, "cases:log");
  await call(engine, "cases:wrongly", { how: "convex" });
  await call(engine, "cases.js:wrongly", { how: "type" });
  await call(engine, "cases:nothing");
  assert.deepEqual(
    entries.map((entry) => [entry.function, entry.lines.length, entry.error?.split("\n")[0], entry.expected]),
    [
      ["Q(cases:talk)", 5, undefined, false],
      ["M(cases:wrongly)", 0, 'Uncaught ConvexError: {"code":"full","left":"0n"}', true],
      ["M(cases:wrongly)", 0, "Uncaught TypeError: not that", false],
      ["(cases:nothing)", 0, notFound("cases:nothing"), false],
    ],
  );
  assert.match(entries[2]?.error ?? "", /\n {4}at handler \(\.\.\/convex\/cases\.ts:\d+:\d+\)/);
});

test("a function that is undone, cancelled, cleared or closed before its time does not run", async () => {
  const engine = await startEngine();
  await failure(engine, "cases:later", { key: "undone", delay: 0, fails: true, what: "note" });
  const id = await value(engine, "cases:later", { key: "cancelled", delay: 100, fails: false, what: "note" });
  await value(engine, "cases:cancel", { id });
  assert.deepEqual(await value(engine, "cases:jobs"), [["cases:note", "canceled"]]);
  await value(engine, "cases:later", { key: "first", delay: 300, fails: false, what: "note" });
  await eventually(async () => (await value(engine, "cases:log")).length > 0);
  assert.deepEqual(await value(engine, "cases:log"), ["first"]);
  await value(engine, "cases:later", { key: "cleared", delay: 100, fails: false, what: "note" });
  await engine.clear();
  await value(engine, "cases:later", { key: "runs", delay: 300, fails: false, what: "note" });
  await eventually(async () => (await value(engine, "cases:log")).length > 0);
  assert.deepEqual(await value(engine, "cases:log"), ["runs"]);
  await value(engine, "cases:later", { key: "closed", delay: 100, fails: false, what: "note" });
  await engine.close();
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual(await value(engine, "cases:log"), ["runs"]);
  assert.match(
    await failure(engine, "cases:later", { key: "", delay: 0, fails: false, what: "nothing" }),
    /^Uncaught Error: Attempted to schedule function at nonexistent path: cases:nothing/,
  );
});

test("clear empties every table, also for index reads, and says so", async () => {
  const engine = await startEngine();
  await value(engine, "sync:apply", { changes: [{ key: "a", note: "b", at: 1 }] });
  const commits: Set<string>[] = [];
  engine.onCommit((writes) => commits.push(writes));
  await engine.clear();
  assert.deepEqual(commits, [new Set(["people", "versions", "log"])]);
  assert.deepEqual(await value(engine, "people:list"), []);
  assert.deepEqual(await value(engine, "sync:apply", { changes: [{ key: "a", note: "b", at: 1 }] }), [
    "created",
  ]);
});

test("a job that was about to run when the tables were emptied does not run", async () => {
  const engine = await startEngine();
  let changes = 0;
  const cleared = new Promise<void>((resolve) => {
    engine.onCommit((writes) => {
      // The first change is the schedule, the second the job's beginning.
      if (writes.has("_scheduled_functions") && ++changes === 2) void engine.clear().then(resolve);
    });
  });
  await value(engine, "cases:later", { key: "late", delay: 0, fails: false, what: "note" });
  await cleared;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await value(engine, "cases:log"), []);
});

test("a query that stops before its end leaves nothing in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const heap = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const engine = await startEngine();
  const changes = Array.from({ length: 500 }, (_, i) => ({ key: String(i), note: "x", at: 1 }));
  await value(engine, "sync:apply", { changes });
  const look = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      await value(engine, "script:look", { order: "asc", end: "break", count: 0 });
    }
  };
  await look(100);
  const before = heap();
  await look(1000);
  // Kept results would be 1,000 lists of 499 rows: 4 MB.
  assert.ok(heap() - before < 2e6, `${String(heap() - before)} bytes more`);
});
