import type { Messages } from "../messages/messages.ts";
import type { Page } from "./PageSkeleton.tsx";

type Name = keyof Messages["help"]["keys"];

const ON_THE_LIST: [Name, string[]][] = [
  ["search", ["/"]],
  ["rows", ["↓", "↑", "pageDown", "pageUp", "home", "end"]],
  ["details", ["enter"]],
  ["news", ["."]],
  ["steps", ["j", "k"]],
];
const SELECTION: [Name, string[]][] = [
  ["select", ["x"]],
  ["selectRange", ["shiftX"]],
];
const LETTERS = new Set<Name>(["search", "news", "steps", "select", "selectRange", "help"]);
const EVERYWHERE: [Name, string[]][] = [
  ["close", ["escape"]],
  ["help", ["?"]],
];

// Returns the keys that work on a page, by the name of their effect. Those with a name are in `caps` of the catalogue.
// isManaged: the app lets admins act, so users can be selected. hasLetters: the app has not switched off those that are
// a single character.
export function keysOf(page: Page, isManaged: boolean, hasLetters: boolean): [Name, string[]][] {
  const all = [...(page === "users" ? ON_THE_LIST : []), ...(page === "users" && isManaged ? SELECTION : []), ...EVERYWHERE];
  return hasLetters ? all : all.filter(([name]) => !LETTERS.has(name));
}
