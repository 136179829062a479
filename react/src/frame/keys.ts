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
const EVERYWHERE: [Name, string[]][] = [
  ["close", ["escape"]],
  ["help", ["?"]],
];

// Returns the keys that work on a page, by the name of their effect. Those with a name are in `caps` of the catalogue. isManaged: the app lets admins act, so users can be selected.
export function keysOf(page: Page, isManaged: boolean): [Name, string[]][] {
  return [...(page === "users" ? ON_THE_LIST : []), ...(page === "users" && isManaged ? SELECTION : []), ...EVERYWHERE];
}
