// The words of the pages, and how they write numbers and times.
import { createContext, useContext } from "react";
import { access } from "./access.ts";
import { audit } from "./audit.tsx";
import { bulk } from "./bulk.ts";
import { filters } from "./filters.ts";
import { formatsOf, type Formats } from "./formats.ts";
import { forms } from "./forms.tsx";
import { frame } from "./frame.ts";
import { help } from "./help.ts";
import { invitations } from "./invitations.tsx";
import { list } from "./list.ts";
import { manage } from "./manage.tsx";
import { refusals } from "./refusals.tsx";
import { sheet } from "./sheet.tsx";
import { stats } from "./stats.ts";
import { ui } from "./ui.ts";
import { users } from "./users.ts";

// One group for each part of the pages. A text with a value in it is a function.
export const ENGLISH = {
  access,
  audit,
  bulk,
  filters,
  forms,
  frame,
  help,
  invitations,
  list,
  manage,
  refusals,
  sheet,
  stats,
  ui,
  users,
};
export type Messages = typeof ENGLISH;
// The texts that an app has in its own language; the others stay English.
export type OwnMessages = { [Group in keyof Messages]?: Own<Messages[Group]> };
type Own<Texts> = { [Key in keyof Texts]?: Texts[Key] extends Text ? Texts[Key] : Partial<Texts[Key]> };
type Text = string | ((...values: never[]) => unknown);

export type Words = { messages: Messages; formats: Formats };

export const DEFAULT_LOCALE = "en"; // the language of the texts, so that a page is in one language

export function wordsOf(own: OwnMessages = {}, locale: string = DEFAULT_LOCALE): Words {
  return { messages: withOwn(ENGLISH, own), formats: formatsOf(locale) };
}

function withOwn<Texts>(english: Texts, own: unknown): Texts {
  if (own === undefined) return english;
  if (typeof english !== "object") return own as Texts;
  const merged: any = { ...english };
  for (const [key, text] of Object.entries(own as object)) merged[key] = withOwn(merged[key], text);
  return merged;
}

const WordsContext = createContext(wordsOf());
export const WordsProvider = WordsContext.Provider;

export function useMessages(): Messages {
  return useContext(WordsContext).messages;
}

export function useFormats(): Formats {
  return useContext(WordsContext).formats;
}
