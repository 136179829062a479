// Reads JSON text for the editor of metadata: it says where the text is wrong, finds keys that are given twice, and keeps
// the digits of each number, which JSON.parse would round.

export type Json =
  | { kind: "object"; members: ReadonlyMap<string, Json> }
  | { kind: "array"; items: readonly Json[] }
  | { kind: "string" | "number" | "word"; text: string }; // as JSON; a word is true, false or null

export type Fault =
  | ("empty" | "notJson" | "notClosed" | "afterEnd" | "twice" | "notObject" | "tooDeep")
  | ("noComma" | "extraComma" | "noColon");
// `at` is the position of the character. `what` is the key or the character.
export type Wrong = { fault: Fault; at: number; what: string };
export type Rounded = { text: string; read: string; at: number }; // what JavaScript makes of a number
export type Parsed =
  | { isRight: true; value: Json & { kind: "object" }; rounded: readonly Rounded[] }
  | ({ isRight: false } & Wrong);

const DEEPEST = 32; // levels; the service's limit

class Failure extends Error {
  wrong: Wrong;
  constructor(wrong: Wrong) {
    super(wrong.fault);
    this.wrong = wrong;
  }
}

const TOKEN = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

// Parses the text of metadata, which is an object.
export function parseMetadata(text: string, deepest: number = DEEPEST): Parsed {
  const rounded: Rounded[] = [];
  let at = 0;

  const fail = (fault: Fault, position = at, what = text[position] ?? ""): never => {
    throw new Failure({ fault, at: position, what });
  };
  const skip = () => {
    while (" \t\n\r".includes(text[at] ?? "x")) at++;
  };
  const token = (): string => {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text)?.[0] ?? fail(at >= text.length ? "notClosed" : "notJson");
    at += found.length;
    return found;
  };
  // Reads what separates members or items. Returns whether another one follows.
  const isMore = (close: string): boolean => {
    skip();
    const char = text[at];
    if (char !== "," && char !== close) fail(char === undefined ? "notClosed" : "noComma");
    const place = at++;
    skip();
    if (char === "," && text[at] === close) fail("extraComma", place);
    return char === ",";
  };

  const read = (depth: number): Json => {
    skip();
    const start = at;
    const char = text[at];
    if (char !== "{" && char !== "[") {
      const found = token();
      if (found.startsWith('"')) return { kind: "string", text: JSON.stringify(JSON.parse(found)) };
      if (/^[tfn]/.test(found)) return { kind: "word", text: found };
      const kept = String(Number(found));
      if (!isSameNumber(kept, found)) rounded.push({ text: found, read: kept, at: start });
      return { kind: "number", text: found };
    }
    if (depth === deepest) fail("tooDeep");
    at++;
    skip();
    const close = char === "{" ? "}" : "]";
    const isEmpty = text[at] === close;
    if (isEmpty) at++;
    if (char === "[") {
      const items: Json[] = [];
      if (!isEmpty) do items.push(read(depth + 1));
        while (isMore(close));
      return { kind: "array", items };
    }
    const members = new Map<string, Json>();
    if (!isEmpty) {
      do {
        const place = at;
        if (text[at] !== '"') fail(text[at] === undefined ? "notClosed" : "notJson");
        const key = JSON.parse(token()) as string;
        if (members.has(key)) fail("twice", place, key);
        skip();
        if (text[at] !== ":") fail(text[at] === undefined ? "notClosed" : "noColon");
        at++;
        members.set(key, read(depth + 1));
      } while (isMore(close));
    }
    return { kind: "object", members };
  };

  try {
    skip();
    if (at === text.length) fail("empty");
    const start = at;
    const value = read(0);
    skip();
    if (at < text.length) fail("afterEnd");
    if (value.kind !== "object") return fail("notObject", start);
    return { isRight: true, value, rounded };
  } catch (error) {
    if (error instanceof Failure) return { isRight: false, ...error.wrong };
    throw error;
  }
}

// Returns the line and the column of a position, both from 1.
export function placeOf(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}

export function write(value: Json): string {
  switch (value.kind) {
    case "object":
      return `{${[...value.members].map(([key, member]) => `${JSON.stringify(key)}:${write(member)}`).join(",")}}`;
    case "array":
      return `[${value.items.map(write).join(",")}]`;
    default:
      return value.text;
  }
}

// Returns whether two values are the same, in whatever order their keys are and however their numbers are written.
export function isSame(one: Json, other: Json): boolean {
  if (one.kind === "object") {
    if (other.kind !== "object" || one.members.size !== other.members.size) return false;
    return [...one.members].every(([key, member]) => {
      const found = other.members.get(key);
      return found !== undefined && isSame(member, found);
    });
  }
  if (one.kind === "array") {
    if (other.kind !== "array" || one.items.length !== other.items.length) return false;
    return one.items.every((item, index) => isSame(item, other.items[index]!));
  }
  if (one.kind !== other.kind) return false;
  return one.kind === "number" ? isSameNumber(one.text, other.text) : one.text === other.text;
}

// Compares two numbers by their digits: 1.50 and 15e-1 are the same.
function isSameNumber(one: string, other: string): boolean {
  return one === other || digitsOf(one) === digitsOf(other);
}

function digitsOf(text: string): string {
  const found = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (found === null) return text; // Infinity, which JavaScript makes of 1e999
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = found;
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  if (significant === "") return "0"; // -0 too
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}e${power}`;
}
