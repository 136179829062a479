// The texts of an entry. Codes that have no words are shown as they are.
import type { AuditEntry } from "../functions.ts";
import type { Formats } from "../messages/formats.ts";
import type { Messages } from "../messages/messages.ts";

type Words = Messages["audit"];

// Columns that Convex derives from others, and that are not shown.
const DERIVED = new Set(["sortName", "sortEmail", "searchText"]);

// Returns what happened, such as "Ban · status changed" or "Delete · the last active administrator (403)".
export function entryText(entry: AuditEntry, words: Words, formats: Formats): string {
  const parts = [
    entry.action === undefined ? "" : actionText(entry.action, words),
    entry.object ?? "",
    changeText(entry, words, formats),
    entry.reason === undefined ? "" : reasonText(entry.reason, entry.status, words),
  ];
  const text = parts.filter(Boolean).reduce((what, why) => (what === "" ? why : words.because(what, why)), "");
  return text.charAt(0).toLocaleUpperCase(formats.locale) + text.slice(1);
}

export function actionText(action: string, words: Words): string {
  return words.actions[action] ?? plain(action);
}

// Returns the fields that changed, and never their values.
export function changeText({ fields, change, action }: AuditEntry, words: Words, formats: Formats): string {
  const shown = fields.filter((field) => !DERIVED.has(field)).map((field) => words.fields[field] ?? field);
  if (shown.length > 0) return words.changed(formats.list(shown));
  return change === "created" && action !== "create" ? words.newUser : "";
}

export function reasonText(reason: string, status: number | undefined, words: Words): string {
  const why = words.reasons[reason] ?? plain(reason).toLowerCase();
  return status === undefined ? why : why + words.status(status);
}

// Returns a code as text: "send_home" as "Send home".
function plain(code: string): string {
  const text = code.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
