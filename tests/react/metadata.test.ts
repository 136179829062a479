// The editor of metadata: what it accepts, what it shows as changed, and what it sends to Clerk.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  applied,
  areInConflict,
  changesOf,
  lostNull,
  patchOf,
  pathText,
  without,
  type JsonObject,
} from "../../react/src/metadata/difference.ts";
import { judge, pretty, readObject } from "../../react/src/metadata/judge.ts";
import { isSame, parseMetadata, placeOf, write } from "../../react/src/metadata/parse.ts";

function object(value: unknown): JsonObject {
  const parsed = parseMetadata(typeof value === "string" ? value : JSON.stringify(value));
  assert.ok(parsed.isRight, JSON.stringify(parsed));
  return parsed.value;
}

const changes = (before: unknown, after: unknown) => changesOf(object(before), object(after));
const shown = (before: unknown, after: unknown) =>
  changes(before, after).map(({ path, before, after }) => [pathText(path), before && write(before), after && write(after)]);

suite("the text", () => {
  for (const [text, fault, place, what] of [
    ["", "empty", "1:1", ""],
    [" \n ", "empty", "2:2", ""],
    ["{", "notClosed", "1:2", ""],
    ['{"a": 1', "notClosed", "1:8", ""],
    ['{"a"', "notClosed", "1:5", ""],
    ['{"a":', "notClosed", "1:6", ""],
    ['{"a": [1, 2', "notClosed", "1:12", ""],
    ['{\n  "a": 1,\n}', "extraComma", "2:9", ","],
    ['{\n  "a": 1\n  "b": 2\n}', "noComma", "3:3", '"'],
    ['{"a": [1 2]}', "noComma", "1:10", "2"],
    ["{,}", "notJson", "1:2", ","],
    ["{'a': 1}", "notJson", "1:2", "'"],
    ["{a: 1}", "notJson", "1:2", "a"],
    ['{"a" 1}', "noColon", "1:6", "1"],
    ['{"a": 01}', "noComma", "1:8", "1"],
    ['{"a": .5}', "notJson", "1:7", "."],
    ['{"a": NaN}', "notJson", "1:7", "N"],
    ['{"a": "\t"}', "notJson", "1:7", '"'],
    ['{"a": "\\x"}', "notJson", "1:7", '"'],
    ['{"a": [1,]}', "extraComma", "1:9", ","],
    ['{"a": 1} {', "afterEnd", "1:10", "{"],
    ['{"a": 1, "b": {"c": 1, "c": 2}}', "twice", "1:24", "c"],
    ['{"a": 1, "\\u0061": 2}', "twice", "1:10", "a"],
    [" [1]", "notObject", "1:2", "["],
    ["null", "notObject", "1:1", "n"],
    [`${'{"a":'.repeat(33)}1${"}".repeat(33)}`, "tooDeep", "1:161", "{"],
  ] as const) {
    test(`${fault} in ${JSON.stringify(text.slice(0, 40))}`, () => {
      const parsed = parseMetadata(text);
      assert.ok(!parsed.isRight);
      const { line, column } = placeOf(text, parsed.at);
      assert.deepEqual([parsed.fault, `${line}:${column}`, parsed.what], [fault, place, what]);
    });
  }

  test("all that JSON.parse takes is read as it reads it", () => {
    const values = [{}, { a: [] }, { a: [1, { b: null }, "x"], "": true }, { "é\n\"": "\u2028\\" }, { __proto__x: 1 }];
    for (const value of values) {
      for (const spaces of [0, 2]) assert.equal(write(object(JSON.stringify(value, null, spaces))), JSON.stringify(value));
    }
    assert.equal(write(object('{"__proto__": 1, "a\\/": "\\u00e9"}')), '{"__proto__":1,"a/":"é"}');
    assert.equal(write(object(`${'{"a":'.repeat(32)}1${"}".repeat(32)}`)).length, 32 * 6 + 1);
    assert.equal(pretty(readObject('{"b":1,"a":[]}')), '{\n  "b": 1,\n  "a": []\n}');
  });

  test("what a row may hold is read, however deep, and all else is none", () => {
    const deep = `${'{"a":'.repeat(1600)}1${"}".repeat(1600)}`;
    assert.equal(write(readObject(deep)), deep);
    for (const text of [undefined, "", "[1]", "{"]) assert.equal(write(readObject(text)), "{}");
  });

  test("numbers keep their digits, and those that JavaScript rounds are named", () => {
    const text = '{"a": 12345678901234567890, "b": [0.1, 1.50, 1e3, -0, 1e400, 9007199254740993], "c": 100}';
    const parsed = parseMetadata(text);
    assert.ok(parsed.isRight);
    assert.equal(write(parsed.value), text.replaceAll(" ", ""));
    const rounded = parsed.rounded.map(({ text, read }) => [text, read]);
    assert.deepEqual(rounded, [
      ["12345678901234567890", "12345678901234567000"],
      ["1e400", "Infinity"],
      ["9007199254740993", "9007199254740992"],
    ]);
    for (const { text: number, at } of parsed.rounded) assert.ok(text.startsWith(number, at));
  });
});

suite("the difference", () => {
  test("an object is compared key by key, all else as a whole, and the order of keys is none", () => {
    assert.deepEqual(shown({ a: 1, b: { c: 1, d: 2 } }, { b: { d: 2, c: 1 }, a: 1 }), []);
    assert.deepEqual(shown({ a: 1, b: { c: 1, d: 2 }, e: [1] }, { b: { c: 3 }, e: [1, 2], f: {} }), [
      ["a", "1", null],
      ["b / c", "1", "3"],
      ["b / d", "2", null],
      ["e", "[1]", "[1,2]"],
      ["f", null, "{}"],
    ]);
    assert.deepEqual(shown({ a: { b: 1 } }, { a: [] }), [["a", '{"b":1}', "[]"]]);
    assert.deepEqual(shown({ "a b": { "›": 1 } }, { "a b": {} }), [['"a b" / "›"', "1", null]]);
  });

  test("a number is what it is, however it is written", () => {
    for (const [one, other] of [["1.50", "15e-1"], ["100", "1e2"], ["0", "-0.0"], ["1E+2", "100"]]) {
      assert.deepEqual(shown(`{"a":[${one}]}`, `{"a":[${other}]}`), []);
    }
    for (const [one, other] of [["12345678901234567890", "12345678901234567891"], ["1", "-1"], ["1", '"1"'], ["1", "10"]]) {
      assert.equal(changes(`{"a":${one}}`, `{"a":${other}}`).length, 1, `${one} ${other}`);
    }
  });

  test("what is sent, merged by Clerk, makes the text", () => {
    let seed = 1;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    const value = (depth: number): unknown => {
      const kind = random(depth > 2 ? 4 : 7);
      return kind < 4 ? [random(3), "x", true, [null, { n: null }]][kind] : some(depth);
    };
    const some = (depth = 0): object =>
      Object.fromEntries(Array.from({ length: random(5) }, () => ["abc"[random(3)], value(depth + 1)]));
    let merges = 0;
    for (let round = 0; round < 500; round++) {
      const [before, after] = [some(), some()];
      const found = changes(before, after);
      const patch = JSON.parse(patchOf(found));
      const merged = merge(before, patch);
      assert.ok(isSame(object(merged), object(after)), `${JSON.stringify([before, after, patch])}`);
      assert.ok(isSame(applied(object(before), found), object(after)));
      assert.equal(lostNull(found), null);
      if (found.some(({ path }) => path.length > 1)) merges++;
    }
    assert.ok(merges > 50, `${merges}`);
  });

  test("digits arrive", () => {
    const found = changes('{"a": {"b": 1}}', '{"a": {"b": 0.1000000000000000000001}, "__proto__": 1}');
    assert.equal(patchOf(found), '{"a":{"b":0.1000000000000000000001},"__proto__":1}');
    assert.equal(patchOf(changes({ a: { b: 1, c: 1 }, d: 1 }, { a: { c: 1 } })), '{"a":{"b":null},"d":null}');
  });

  test("a new null would remove the key, but not one that was there, or within a list", () => {
    assert.deepEqual(lostNull(changes({}, { a: { b: null } })), ["a", "b"]);
    assert.deepEqual(lostNull(changes({ a: 1 }, { a: null })), ["a"]);
    assert.equal(lostNull(changes({ a: null }, { a: null, b: [null, { c: null }] })), null);
    assert.equal(lostNull(changes({ a: 1 }, {})), null);
  });
});

suite("what others have changed meanwhile", () => {
  const before = { a: { b: 1, c: 1 }, d: 1, e: 1 };
  const inConflict = (mine: object, theirs: object) => areInConflict(changes(before, mine), changes(before, theirs));

  test("is no conflict at other keys, or with the same result", () => {
    assert.equal(inConflict({ ...before, d: 2 }, { ...before, e: 2 }), false);
    assert.equal(inConflict({ ...before, a: { b: 2, c: 1 } }, { ...before, a: { b: 1, c: 2 } }), false);
    assert.equal(inConflict({ ...before, d: 2 }, { ...before, d: 2 }), false);
    assert.equal(inConflict({ a: before.a, e: 1 }, { a: before.a, e: 1 }), false);
    assert.equal(inConflict({ ...before, f: 1 }, before), false);
  });

  test("is a conflict at the same key, above it and below it", () => {
    assert.equal(inConflict({ ...before, d: 2 }, { ...before, d: 3 }), true);
    assert.equal(inConflict({ ...before, d: 2 }, { a: before.a, e: 1 }), true);
    assert.equal(inConflict({ ...before, a: { b: 2, c: 1 } }, { d: 1, e: 1 }), true);
    assert.equal(inConflict({ ...before, a: 1 }, { ...before, a: { b: 2, c: 1 } }), true);
    assert.equal(inConflict({ ...before, f: 1 }, { ...before, f: 2 }), true);
  });

  test("is not what I have changed, too", () => {
    const mine = changes(before, { ...before, d: 2, e: 2 });
    assert.deepEqual(without(changes(before, { ...before, d: 2, e: 3 }), mine).map(({ path }) => path), [["e"]]);
  });
});

suite("the judgement", () => {
  const about = (text: string, base: object = {}) => {
    const judged = judge(text, object(base));
    assert.ok(judged.isRight);
    return judged;
  };

  test("counts the bytes of what is stored, without spaces", () => {
    assert.equal(about('{\n  "é": "€"\n}').bytes, Buffer.byteLength('{"é":"€"}'));
    // The same numbers as in tests/entities/test_json.py.
    const text = JSON.stringify({ "é": "€", "\ud83d\ude00": ["\ud800", "\u0001\u007f\n", "\\u00e9", 1.5, null] });
    assert.equal(about(text).bytes, 61);
  });

  test("knows when the role makes an admin or unmakes one", () => {
    assert.equal(about('{"role": "admin"}').admin, "made");
    assert.equal(about('{"role": "\\u0061dmin"}', { role: "editor" }).admin, "made");
    assert.equal(about("{}", { role: "admin" }).admin, "unmade");
    assert.equal(about('{"role": ["admin"]}', { role: "admin" }).admin, "unmade");
    assert.equal(about('{"role": "admin", "a": 1}', { role: "admin" }).admin, null);
    assert.equal(about('{"role": "Admin"}').admin, null);
  });

  test("is none of what is wrong", () => {
    assert.deepEqual(judge("{", object({})), {
      isRight: false,
      wrong: { isRight: false, fault: "notClosed", at: 1, what: "" },
    });
  });
});

// Clerk's merge, by the words of its documentation.
function merge(old: unknown, patch: Record<string, unknown>): Record<string, unknown> {
  const merged = isObject(old) ? { ...old } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = isObject(value) ? merge(merged[key], value) : value;
  }
  return merged;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
