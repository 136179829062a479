// Judges the text in the editor of metadata.
import { prettyJson } from "../ui/prettyJson.ts";
import { changesOf, EMPTY, lostNull, type Change, type JsonObject } from "./difference.ts";
import { parseMetadata, write, type Json, type Rounded, type Wrong } from "./parse.ts";

export const LARGEST = 8192; // bytes; Clerk's limit

export type Judged =
  | { isRight: false; wrong: Wrong }
  | {
      isRight: true;
      value: JsonObject;
      changes: readonly Change[];
      bytes: number;
      rounded: readonly Rounded[];
      lostNull: readonly string[] | null; // the path of a null that Clerk would not store
      admin: "made" | "unmade" | null; // what becomes of the user by the role
    };

export function judge(text: string, base: JsonObject): Judged {
  const parsed = parseMetadata(text);
  if (!parsed.isRight) return { isRight: false, wrong: parsed };
  const { value, rounded } = parsed;
  const changes = changesOf(base, value);
  const was = isAdmin(base);
  const is = isAdmin(value);
  return {
    isRight: true,
    value,
    changes,
    bytes: new TextEncoder().encode(write(value)).length,
    rounded,
    lostNull: lostNull(changes),
    admin: was === is ? null : is ? "made" : "unmade",
  };
}

// Returns the metadata of a row. Text that is no object counts as none.
export function readObject(text: string | undefined): JsonObject {
  const parsed = parseMetadata(text ?? "{}", Infinity);
  return parsed.isRight ? parsed.value : EMPTY;
}

export function pretty(value: Json): string {
  return prettyJson(write(value));
}

function isAdmin({ members }: JsonObject): boolean {
  const role = members.get("role");
  return role?.kind === "string" && role.text === '"admin"';
}
