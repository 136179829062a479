import assert from "node:assert/strict";
import { test } from "node:test";
import { v, type GenericValidator } from "convex/values";

import { mismatch, type ValidatorJSON } from "../../../../clerk_convex/local/convex/backend/validators.ts";

function check(validator: GenericValidator, value: unknown): string | null {
  return mismatch((validator as unknown as { json: ValidatorJSON }).json, value);
}

test("each kind of validator accepts its own values and refuses all others", () => {
  const id = "00000000000000000000010000users";
  const samples: [GenericValidator, unknown[], unknown[]][] = [
    [v.any(), [1, null, {}], []],
    [v.null(), [null], [undefined, 0, ""]],
    [v.number(), [1, NaN], ["1", 1n, null]],
    [v.int64(), [1n], [1]],
    [v.boolean(), [false], [0]],
    [v.string(), [""], [1, null]],
    [v.bytes(), [new ArrayBuffer(1)], ["AA=="]],
    [v.literal("a"), ["a"], ["b", undefined]],
    [v.literal(1n), [1n], [1]],
    [v.id("users"), [id], ["users", "1", "00000000000000000000010000others", 5]],
    [v.array(v.string()), [[], ["a"]], [["a", 1], { 0: "a" }]],
    [v.record(v.string(), v.number()), [{}, { a: 1 }], [{ a: "1" }, [], null]],
    [v.record(v.id("users"), v.number()), [{ [id]: 1 }], [{ a: 1 }]],
    [v.union(v.string(), v.null()), ["a", null], [1, undefined]],
    [
      v.object({ a: v.optional(v.string()) }),
      [{}, { a: "x" }, { a: undefined }],
      [{ a: 1 }, { b: 1 }, [], new Date()],
    ],
    [v.object({ valueOf: v.string() }), [{ valueOf: "x" }], [{}]],
  ];
  for (const [validator, good, bad] of samples) {
    for (const value of good) {
      assert.equal(check(validator, value), null);
    }
    for (const value of bad) {
      assert.notEqual(check(validator, value), null, `${validator.kind} took ${String(value)}`);
    }
  }
});

test("a mismatch names the place, the value and the validator, and shortens long values", () => {
  const validator = v.object({ list: v.array(v.object({ a: v.union(v.literal("x"), v.int64()) })) });
  assert.equal(
    check(validator, { list: [{ a: "x" }, { a: 1.5 }] }),
    'Value does not match validator.\nPath: .list[1].a\nValue: 1.5\nValidator: v.union(v.literal("x"), v.int64())',
  );
  assert.equal(
    check(validator, { list: [{ b: "x" }] }),
    "Object is missing the required field `a`. Consider wrapping the field validator in `v.optional(...)` if this is " +
      'expected.\nPath: .list[0]\nObject: {b: "x"}\nValidator: v.object({a: v.union(v.literal("x"), v.int64())})',
  );
  assert.ok((check(v.number(), "x".repeat(1e6)) ?? "").length < 2000);
});
