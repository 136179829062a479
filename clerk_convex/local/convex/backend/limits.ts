// Checks values and documents against the limits of Convex. Errors are in Convex's words.
// Source: https://docs.convex.dev/production/state/limits and the value crate of get-convex/convex-backend.
import { convexToJson, getConvexSize, type Value } from "convex/values";

const MAX_ARRAY_LENGTH = 8192;
const MAX_FIELDS = 1024;
const SYSTEM_FIELDS = 2; // _id and _creationTime, which count as fields of a document
const MAX_FIELD_NAME_LENGTH = 1024;
const MAX_VALUE_NESTING = 64;
const MAX_DOCUMENT_NESTING = 16;
const MAX_DOCUMENT_BYTES = 1 << 20;
const MAX_CALL_BYTES = 16 << 20;

// Throws an Error that names the first part of `value` that Convex refuses in any value.
export function checkValue(value: Value | undefined): void {
  walk(value, 0, MAX_VALUE_NESTING, "Value");
}

// Throws an Error if `fields` (without _id and _creationTime) cannot be stored as a document.
export function checkDocument(fields: Record<string, Value | undefined>): void {
  for (const name of Object.keys(fields)) {
    if (name.startsWith("_")) {
      throw new Error(
        `Field '${name}' starts with an underscore, which is only allowed for system fields like '_id'`,
      );
    }
  }
  checkFieldCount(Object.values(fields).filter((field) => field !== undefined).length + SYSTEM_FIELDS);
  walk(fields as Value, 0, MAX_DOCUMENT_NESTING, "Document");
  const size = getConvexSize(fields as Value);
  if (size > MAX_DOCUMENT_BYTES) {
    throw new Error(
      `Value is too large (${mebibytes(size)} > maximum size ${mebibytes(MAX_DOCUMENT_BYTES)})`,
    );
  }
}

// Throws an Error if `value` is larger than the arguments or the result of a call may be. `what` names it in the
// message.
export function checkCallSize(what: string, value: Value): void {
  const size = getConvexSize(value);
  if (size > MAX_CALL_BYTES) {
    throw new Error(`${what} too large (actual: ${mebibytes(size)}, limit: ${mebibytes(MAX_CALL_BYTES)})`);
  }
}

function walk(value: Value | undefined, nesting: number, limit: number, what: string): void {
  if (typeof value === "string") {
    if (!value.isWellFormed()) {
      throw new Error("A string is not valid Unicode: it has half of a surrogate pair");
    }
    return;
  }
  if (typeof value !== "object" || value === null || value instanceof ArrayBuffer) {
    return;
  }
  if (!Array.isArray(value) && !isPlain(value)) {
    // Throws unless `value` is the placeholder for the time of the commit.
    convexToJson(value);
    return;
  }
  if (nesting === limit) {
    throw new Error(
      `${what} is too nested (nested ${String(limit + 1)} levels deep > maximum nesting ${String(limit)})`,
    );
  }
  if (Array.isArray(value)) {
    if (value.length > MAX_ARRAY_LENGTH) {
      throw new Error(
        `Array length is too long (${String(value.length)} > maximum length ${String(MAX_ARRAY_LENGTH)})`,
      );
    }
    for (const element of value) {
      walk(element, nesting + 1, limit, what);
    }
    return;
  }
  let fields = 0;
  for (const [name, field] of Object.entries(value) as [string, Value | undefined][]) {
    if (field !== undefined) {
      fields += 1;
      checkFieldName(name);
      walk(field, nesting + 1, limit, what);
    }
  }
  checkFieldCount(fields);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function checkFieldCount(fields: number): void {
  if (fields > MAX_FIELDS) {
    throw new Error(`Object has too many fields (${String(fields)} > maximum number ${String(MAX_FIELDS)})`);
  }
}

function checkFieldName(name: string): void {
  if (name === "") {
    throw new Error("Field name cannot be empty");
  }
  if (name.length > MAX_FIELD_NAME_LENGTH) {
    throw new Error(
      `Field name is too long (${String(name.length)} > maximum length ${String(MAX_FIELD_NAME_LENGTH)})`,
    );
  }
  if (name.startsWith("$")) {
    throw new Error(`Field name ${name} starts with '$', which is reserved.`);
  }
  const bad = /[^\x20-\x7e]/.exec(name);
  if (bad !== null) {
    throw new Error(
      `Field name ${name} has invalid character '${bad[0]}': ` +
        "Field names can only contain non-control ASCII characters",
    );
  }
}

function mebibytes(bytes: number): string {
  return `${String(Math.round((bytes / (1 << 20)) * 100) / 100)} MiB`;
}
