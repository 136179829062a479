import assert from "node:assert/strict";
import { test } from "node:test";

import { failure, startEngine, value } from "./helpers.ts";

const REFUSED_ANYWHERE: [string, RegExp][] = [
  ["dollar", /Field name \$x starts with a? ?'\$', which is reserved/],
  ["empty", /Field name cannot be empty/],
  ["accent", /Field name é has invalid character 'é'/],
  ["control", /has invalid character '\n'/],
  ["long name", /exceeds maximum field name length 1024|too long \(1025 > maximum length 1024\)/],
  ["1,025 fields", /Object has too many fields \(102[57] > maximum number 1024\)/],
  ["8,193 elements", /Array length is too long \(8193 > maximum length 8192\)/],
  ["half a pair", /not valid Unicode/],
  ["date", /is not a supported Convex type/],
];

test("a document that Convex refuses is refused, at its top level and nested, and nothing is written", async () => {
  const engine = await startEngine();
  for (const [what, message] of [
    ...REFUSED_ANYWHERE,
    ["1 MiB", /Value is too large \(1 MiB > maximum size 1 MiB\)/],
  ] as [string, RegExp][]) {
    for (const nested of [false, true]) {
      assert.match(await failure(engine, "cases:storeMade", { what, nested }), message, what);
    }
  }
  const nesting = /Document is too nested \(nested 17 levels deep > maximum nesting 16\)/;
  assert.match(await failure(engine, "cases:storeMade", { what: "nesting 17", nested: false }), nesting);
  assert.match(await failure(engine, "cases:storeMade", { what: "nesting 16", nested: true }), nesting);
  // _id and _creationTime count.
  const fields = /Object has too many fields \(1025 > maximum number 1024\)/;
  assert.match(await failure(engine, "cases:storeMade", { what: "1,023 fields", nested: false }), fields);
  assert.match(
    await failure(engine, "cases:storeMade", { what: "underscore", nested: false }),
    /Field '_x' starts with an underscore, which is only allowed for system fields like '_id'/,
  );
  assert.deepEqual(await value(engine, "cases:stored"), []);
});

test("a document at the limits is stored", async () => {
  const engine = await startEngine();
  for (const what of ["longest name", "1,022 fields", "8,192 elements", "almost 1 MiB", "nesting 16"]) {
    await value(engine, "cases:storeMade", { what, nested: false });
  }
  await value(engine, "cases:storeMade", { what: "underscore", nested: true });
  await value(engine, "cases:storeMade", { what: "1,024 fields", nested: true });
  assert.equal((await value(engine, "cases:stored")).length, 7);
});

test("patch and replace have the same limits, for the whole document", async () => {
  const engine = await startEngine();
  const id = await value(engine, "cases:store", { fields: { half: "x".repeat(2 ** 19) } });
  for (const replaces of [false, true]) {
    assert.match(
      await failure(engine, "cases:change", { id, fields: { _x: 1 }, replaces }),
      /starts with an underscore/,
    );
    assert.match(
      await failure(engine, "cases:change", { id, fields: { "": 1 }, replaces }),
      /Field name cannot be empty/,
    );
  }
  const half = { other: "x".repeat(2 ** 19) };
  assert.match(
    await failure(engine, "cases:change", { id, fields: half, replaces: false }),
    /Value is too large/,
  );
  await value(engine, "cases:change", { id, fields: half, replaces: true });
});

test("a return value that Convex refuses is refused, and the function's writes are undone", async () => {
  const engine = await startEngine();
  for (const [what, message] of [
    ...REFUSED_ANYWHERE,
    ["nesting 65", /Value is too nested \(nested 65 levels deep > maximum nesting 64\)/],
    ["17 MiB", /too large \(actual: 17 MiB, limit: 16 MiB\)/],
  ] as [string, RegExp][]) {
    assert.match(await failure(engine, "cases:returnMade", { what }), message, what);
  }
  assert.deepEqual(await value(engine, "cases:log"), []);
  await value(engine, "cases:returnMade", { what: "nesting 64" });
});

test("arguments that Convex refuses are refused before the function runs", async () => {
  const engine = await startEngine();
  const nested = (levels: number): any => (levels === 0 ? 1 : [nested(levels - 1)]);
  for (const [bad, message] of [
    [Array(8193).fill(1), /Array length is too long/],
    [{ "": 1 }, /Field name cannot be empty/],
    [{ $x: 1 }, /Field name \$x/],
    [Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`f${String(i)}`, 1])), /too many fields/],
    [nested(64), /Value is too nested \(nested 65 levels deep > maximum nesting 64\)/],
    [nested(5000), /Value is too nested|Maximum call stack/],
    [Array(17).fill("x".repeat(2 ** 20)), /Invalid arguments for cases.js:store: Arguments are too large/],
    ["\udc00", /not valid Unicode/],
  ] as [any, RegExp][]) {
    assert.match(await failure(engine, "cases:store", { fields: bad }), message);
  }
  assert.deepEqual(await value(engine, "cases:stored"), []);
  assert.deepEqual(await value(engine, "cases:echo", { value: nested(63) }), nested(63));
  // Documents travel as arguments, system fields and all.
  assert.deepEqual(await value(engine, "cases:echo", { value: { _id: "x", _y: 1 } }), { _id: "x", _y: 1 });
});

test("a document is checked by its table's schema, and the error has Convex's words", async () => {
  const engine = await startEngine();
  assert.match(
    await failure(engine, "script:insertPerson", { fields: { key: "k", note: 5 } }),
    /^Uncaught Error: Failed to insert or update a document in table "people" because it does not match the schema: Value does not match validator\.\nPath: \.note\nValue: 5\.0\nValidator: v\.string\(\)\n/,
  );
  assert.match(
    await failure(engine, "script:insertPerson", { fields: { key: "k", note: "n", constructor: 1 } }),
    /extra field `constructor`/,
  );
});
