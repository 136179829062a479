// Writes users as CSV (RFC 4180) in UTF-8, for a spreadsheet: with a byte order mark, by which Excel knows the encoding.
import type { UserSummary } from "../functions.ts";

type Row = UserSummary & Record<string, unknown>;

const COLUMNS = [
  "clerkId",
  "status",
  "firstName",
  "lastName",
  "username",
  "email",
  "emailVerified",
  "phone",
  "role",
  "externalId",
] as const satisfies (keyof UserSummary)[];
const TIMES = ["createdAt", "lastSignInAt", "lockedUntil"] as const satisfies (keyof UserSummary)[];

// The names are those of the columns in Convex, in every language.
export function csvHead(own: readonly string[]): string {
  return `\ufeff${line([...COLUMNS, ...TIMES, ...own])}`;
}

// `own` has the names of the team's columns.
export function csvRows(users: readonly UserSummary[], own: readonly string[]): string {
  return users
    .map((user) => {
      const row = user as Row;
      return line([...COLUMNS.map((name) => row[name]), ...TIMES.map((name) => timeOf(row[name])), ...own.map((name) => row[name])]);
    })
    .join("");
}

function timeOf(value: number | undefined): string | undefined {
  const date = new Date(value ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

function line(cells: readonly unknown[]): string {
  return `${cells.map(cellOf).join(",")}\r\n`;
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "number") return String(value);
  const text = typeof value === "string" || typeof value === "bigint" ? String(value) : JSON.stringify(value);
  // A spreadsheet would compute what begins so. Users choose their names. One that divides lines at semicolons sees no
  // quotes, and begins a cell after each.
  const safe = text.replace(/(?<=^|[;\t\r\n])(?=["\s]*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])/g, "'");
  return /[",;\t\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// Returns a name with the viewer's day, such as "users-2026-11-22.csv".
export function csvName(now: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  return `users-${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}.csv`;
}
