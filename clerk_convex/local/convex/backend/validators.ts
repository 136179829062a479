// Checks values against validators (v.object({…}) as JSON), and words a mismatch as Convex does. The check of
// convex-test does not know records, and accepts fields that are named like a method of every object, such as
// "constructor".
import { compareValues, jsonToConvex, type JSONValue, type Value } from "convex/values";

export type ValidatorJSON =
  | { type: "null" | "number" | "bigint" | "commitTs" | "boolean" | "string" | "bytes" | "any" }
  | { type: "literal"; value: JSONValue }
  | { type: "id"; tableName: string }
  | { type: "array"; value: ValidatorJSON }
  | { type: "record"; keys: ValidatorJSON; values: { fieldType: ValidatorJSON } }
  | { type: "object"; value: Record<string, { fieldType: ValidatorJSON; optional: boolean }> }
  | { type: "union"; value: ValidatorJSON[] };

const MAX_QUOTED = 1000;

// Returns null if `value` matches, else a message.
export function mismatch(validator: ValidatorJSON, value: unknown, path = ""): string | null {
  switch (validator.type) {
    case "array": {
      if (!Array.isArray(value)) {
        break;
      }
      return first(value, (element, i) => mismatch(validator.value, element, `${path}[${String(i)}]`));
    }
    case "record": {
      if (!isObject(value)) {
        break;
      }
      return first(
        fieldsOf(value),
        ([name, field]) =>
          mismatch(validator.keys, name, `${path}.${name}`) ??
          mismatch(validator.values.fieldType, field, `${path}.${name}`),
      );
    }
    case "object": {
      if (!isObject(value)) {
        break;
      }
      const about = (): string =>
        `\n${path === "" ? "" : `Path: ${path}`}\nObject: ${quote(value)}\nValidator: ${describe(validator)}`;
      const fields = new Map(fieldsOf(value));
      for (const [name, { fieldType, optional }] of Object.entries(validator.value)) {
        if (!fields.has(name)) {
          if (optional) {
            continue;
          }
          return (
            `Object is missing the required field \`${name}\`. Consider wrapping the field validator in ` +
            `\`v.optional(...)\` if this is expected.${about()}`
          );
        }
        const problem = mismatch(fieldType, fields.get(name), `${path}.${name}`);
        if (problem !== null) {
          return problem;
        }
        fields.delete(name);
      }
      for (const name of fields.keys()) {
        return `Object contains extra field \`${name}\` that is not in the validator.${about()}`;
      }
      return null;
    }
    case "union":
      if (validator.value.some((member) => mismatch(member, value) === null)) {
        return null;
      }
      break;
    default:
      if (matchesScalar(validator, value)) {
        return null;
      }
  }
  const place = path === "" ? "" : `Path: ${path}\n`;
  return `Value does not match validator.\n${place}Value: ${quote(value)}\nValidator: ${describe(validator)}`;
}

// Returns the table of an id ("00000000000000000000010000users" -> "users"), or null if it is not an id.
export function tableOf(id: string): string | null {
  return /^\d+(.+)$/s.exec(id)?.[1] ?? null;
}

function matchesScalar(validator: ValidatorJSON, value: unknown): boolean {
  switch (validator.type) {
    case "any":
      return true;
    case "null":
      return value === null;
    case "bytes":
      return value instanceof ArrayBuffer;
    case "id":
      return typeof value === "string" && tableOf(value) === validator.tableName;
    case "literal":
      return compareValues(jsonToConvex(validator.value), value as Value) === 0;
    case "bigint":
    case "commitTs":
      return typeof value === "bigint" || isCommitTimestamp(value);
    default:
      return typeof value === validator.type;
  }
}

// Returns whether a value is the placeholder that Convex replaces by the time of the commit.
function isCommitTimestamp(value: unknown): boolean {
  return typeof value === "object" && value?.constructor.name === "CommitTsPlaceholder";
}

function isObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function fieldsOf(value: Record<string, unknown>): [string, unknown][] {
  return Object.entries(value).filter(([, field]) => field !== undefined);
}

function first<T>(items: T[], check: (item: T, index: number) => string | null): string | null {
  for (const [index, item] of items.entries()) {
    const problem = check(item, index);
    if (problem !== null) {
      return problem;
    }
  }
  return null;
}

function quote(value: unknown): string {
  const text = write(value);
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
}

function write(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value);
  }
  if (typeof value === "number") {
    return Number.isInteger(value) ? value.toFixed(1) : String(value);
  }
  if (typeof value === "bigint") {
    return `${String(value)}n`;
  }
  if (Array.isArray(value)) {
    return `[${value.map(write).join(", ")}]`;
  }
  if (isObject(value)) {
    return `{${fieldsOf(value)
      .map(([name, field]) => `${name}: ${write(field)}`)
      .join(", ")}}`;
  }
  return typeof value === "object" && value !== null ? value.constructor.name : String(value);
}

const CALLS: Record<string, string> = { number: "float64", bigint: "int64" };

function describe(validator: ValidatorJSON): string {
  switch (validator.type) {
    case "literal":
      return `v.literal(${write(jsonToConvex(validator.value))})`;
    case "id":
      return `v.id("${validator.tableName}")`;
    case "array":
      return `v.array(${describe(validator.value)})`;
    case "record":
      return `v.record(${describe(validator.keys)}, ${describe(validator.values.fieldType)})`;
    case "union":
      return `v.union(${validator.value.map(describe).join(", ")})`;
    case "object": {
      const fields = Object.entries(validator.value).map(([name, { fieldType, optional }]) =>
        optional ? `${name}: v.optional(${describe(fieldType)})` : `${name}: ${describe(fieldType)}`,
      );
      return `v.object({${fields.join(", ")}})`;
    }
    default:
      return `v.${CALLS[validator.type] ?? validator.type}()`;
  }
}
