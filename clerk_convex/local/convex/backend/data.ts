// Reads the rows that a deployment starts with: files as `npx convex export` and `npx convex data --format jsonl` write
// them. TABLE.jsonl has the rows of a table, one a line; so has TABLE/documents.jsonl in a folder, an unzipped export.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { jsonToConvex, type JSONValue, type Value } from "convex/values";

export interface Row {
  table: string;
  fields: Record<string, Value>; // with _id and _creationTime, if the line has them
  place: string; // file and line, for errors
}

// Throws an Error of one line that names the file, and the line that cannot be read.
export function readRows(paths: string[]): Row[] {
  return paths.flatMap(filesOf).flatMap(([table, file]) => rowsOf(table, file));
}

// Returns the tables of a path, each with its file. Throws if there is none.
function filesOf(path: string): [table: string, file: string][] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    if (!path.endsWith(".jsonl")) {
      throw new Error(`${path} is no folder and no TABLE.jsonl. Unzip an export of Convex first, and name its folder.`);
    }
    return [[basename(path, ".jsonl"), path]];
  }
  const files = readdirSync(path, { withFileTypes: true })
    .filter(({ name }) => /^[A-Za-z]/.test(name)) // names of Convex's own tables begin with _
    .map((entry): [string, string] =>
      entry.isDirectory()
        ? [entry.name, join(path, entry.name, "documents.jsonl")]
        : [basename(entry.name, ".jsonl"), join(path, entry.name)],
    )
    .filter(([, file]) => file.endsWith(".jsonl") && statSync(file, { throwIfNoEntry: false })?.isFile());
  if (files.length === 0) {
    throw new Error(`${path} has no rows: neither TABLE/documents.jsonl nor TABLE.jsonl is there.`);
  }
  return files.sort();
}

function rowsOf(table: string, file: string): Row[] {
  const lines = readText(file).split("\n");
  return lines.flatMap((line, index) => {
    if (line.trim() === "") return [];
    const place = `${file}:${String(index + 1)}`;
    return [{ table, fields: readLine(line, place), place }];
  });
}

function readText(file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${file} cannot be read: ${code === "ENOENT" ? "there is no such file" : String(code)}.`);
  }
}

function readLine(line: string, place: string): Record<string, Value> {
  let value: Value;
  try {
    value = jsonToConvex(JSON.parse(line) as JSONValue);
  } catch {
    throw new Error(`${place}: this line is not the JSON of a Convex document.`); // an error would quote the line
  }
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof ArrayBuffer) {
    throw new Error(`${place}: a line must be the JSON object of one document.`);
  }
  return value as Record<string, Value>;
}
