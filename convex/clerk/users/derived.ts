// Computes from a user's columns what sorting, search and the name on the page need.
import type { Row } from "../tables";
import { domainTerms, fold, PADDING, valueTerms, words } from "./text";

// Convex ranks a short text before a long one. Texts of equal length are ranked by the number of words that match, so
// the few users who have all the words come before the many who have one of them.
const LENGTH = 8; // words, to which shorter texts are padded; few names have more

// The names of the derived columns.
export const DERIVED = ["sortName", "sortEmail", "searchText"] as const;

type Underived = Partial<Row> & { clerkId: string };

// The columns that names, sorting and search are made of.
const TEXTS = ["firstName", "lastName", "username", "email", "phone", "externalId"] as const;

// Returns the derived columns of a user.
export function derived(user: Underived): Pick<Row, (typeof DERIVED)[number]> {
  const row = onlyTexts(user);
  const terms = new Set([
    ...words(fullName(row)),
    ...words(row.username ?? ""),
    ...domainTerms(row.email),
    ...valueTerms("externalId", row.externalId),
    ...valueTerms("phone", row.phone),
  ]);
  // At least one, by which `possibleAdmins` finds the row.
  const padding: string[] = Array(Math.max(LENGTH - terms.size, 1)).fill(PADDING);
  return {
    sortName: namesOf(row).map(fold).find(Boolean) ?? row.clerkId,
    sortEmail: row.email?.toLowerCase(),
    searchText: [...terms, ...padding].join(" "),
  };
}

// Returns the name that a user is shown by. It is never empty.
export function displayName(row: Underived): string {
  return namesOf(row).find(Boolean) ?? row.clerkId;
}

// Leaves out what is no text: a row of a loose table may have anything in our columns.
function onlyTexts(row: Underived): Underived {
  const others = TEXTS.filter((name) => row[name] !== undefined && typeof row[name] !== "string");
  return others.length === 0 ? row : { ...row, ...Object.fromEntries(others.map((name) => [name, undefined])) };
}

// Returns the possible names of a user, the best one first. They may be empty.
function namesOf(row: Underived): string[] {
  return [fullName(row), row.username, row.email, row.phone].map((name) => name?.trim() ?? "");
}

function fullName(row: Underived): string {
  const names = [row.firstName, row.lastName].map((name) => name?.trim());
  return names.filter(Boolean).join(" ");
}
