// The words of the pages, and how they write numbers and times.
import { createContext, useContext } from "react";
import { bulk } from "./bulk.ts";
import { filters } from "./filters.ts";
import { formatsOf, type Formats } from "./formats.ts";
import { forms } from "./forms.tsx";
import { list } from "./list.ts";
import { refusals } from "./refusals.tsx";
import { sheet } from "./sheet.tsx";
import { stats } from "./stats.ts";
import { ui } from "./ui.ts";
import { users } from "./users.ts";

// One group for each part of the pages. A text with a value in it is a function.
export const ENGLISH = {
  bulk,
  filters,
  forms,
  list,
  refusals,
  sheet,
  stats,
  ui,
  users,
};
export type Messages = typeof ENGLISH;
// The texts that an app has in its own language; the others stay English.
export type OwnMessages = { [Group in keyof Messages]?: Partial<Messages[Group]> };

export type Words = { messages: Messages; formats: Formats };

export const DEFAULT_LOCALE = "en"; // the language of the texts, so that a page is in one language

export function wordsOf(own: OwnMessages = {}, locale: string = DEFAULT_LOCALE): Words {
  const groups = Object.entries(ENGLISH).map(([group, texts]) => [group, { ...texts, ...own[group as keyof Messages] }]);
  return { messages: Object.fromEntries(groups) as Messages, formats: formatsOf(locale) };
}

const WordsContext = createContext(wordsOf());
export const WordsProvider = WordsContext.Provider;

export function useMessages(): Messages {
  return useContext(WordsContext).messages;
}

export function useFormats(): Formats {
  return useContext(WordsContext).formats;
}
