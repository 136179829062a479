// Tells which rows of a loose table (looseClerkTables) are whole: the tight table would accept them.
//
// A row that is not whole is no user yet. Clerk has not filled it, or it is linked to no Clerk id. Queries and the rule of
// who is an admin leave it out, whatever its columns say.
import type { GenericValidator } from "convex/values";
import { extraColumns, ownColumns, requiredExtraColumns } from "../columns";
import { USERS } from "../module";
import { clerkTables } from "../tables";

const FIELDS: Record<string, any> = clerkTables[USERS].validator.fields;
const SYSTEM = new Set(["_id", "_creationTime"]);
// Both tables have the team's columns as they are, so they need no check.
const COLUMNS = Object.entries(FIELDS).filter(([name]) => !(name in ownColumns)) as [string, GenericValidator][];
const FIXED = COLUMNS.filter(([name]) => !(name in extraColumns) && !(name in requiredExtraColumns));

// Returns whether the tight table accepts our columns of a row.
export function isWhole(row: object): boolean {
  return fitsAll(COLUMNS, row);
}

// Returns whether the totals have a row: a whole one, by the columns that columns.ts cannot change. A row was counted by
// the columns.ts of that time, and every later change must say the same of it.
export function isCounted(row: object): boolean {
  return fitsAll(FIXED, row);
}

function fitsAll(columns: typeof COLUMNS, row: object): boolean {
  return columns.every(([name, column]) => fits(column, (row as Record<string, unknown>)[name]));
}

// Returns why the tight table would refuse a row, without a value: [] for a row that is whole.
export function problemsOf(row: Record<string, unknown>): string[] {
  const wrong = COLUMNS.filter(([name, column]) => !fits(column, row[name]));
  const unknown = Object.keys(row).filter((name) => !SYSTEM.has(name) && !(name in FIELDS));
  return [
    ...wrong.map(([name]) => (row[name] === undefined ? `${name} is missing` : `${name} has another type`)),
    ...unknown.map((name) => `${name} is not in columns.ts`),
  ];
}

// Returns whether a validator accepts a value. The table of an id is not compared.
function fits(validator: GenericValidator, value: unknown): boolean {
  if (value === undefined) return validator.isOptional === "optional";
  switch (validator.kind) {
    case "id":
    case "string":
      return typeof value === "string";
    case "float64":
      return typeof value === "number";
    case "int64":
      return typeof value === "bigint";
    case "boolean":
      return typeof value === "boolean";
    case "bytes":
      return value instanceof ArrayBuffer;
    case "null":
      return value === null;
    case "literal":
      return value === validator.value;
    case "array":
      return Array.isArray(value) && value.every((element) => fits(validator.element as GenericValidator, element));
    case "record":
      return isObject(value) && Object.values(value).every((one) => fits(validator.value as GenericValidator, one));
    case "object": {
      const fields = validator.fields as Record<string, GenericValidator>;
      const isKnown = (name: string) => name in fields;
      return (
        isObject(value) &&
        Object.keys(value).every(isKnown) &&
        Object.entries(fields).every(([name, field]) => fits(field, value[name]))
      );
    }
    case "union":
      return (validator.members as GenericValidator[]).some((member) => fits(member, value));
    default: // any
      return true;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof ArrayBuffer);
}
