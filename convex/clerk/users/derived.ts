// Computes from a user's columns what sorting, search and the name on the page need.
import type { Row } from "../tables";
import { domainTerms, fold, PADDING, valueTerms, words } from "./text";

// Convex ranks a short text before a long one. Texts of equal length are ranked by the number of words that match, so
// the few users who have all the words come before the many who have one of them.
const LENGTH = 8; // words, to which shorter texts are padded; few names have more

type Underived = Partial<Row> & { clerkId: string };

// Returns the derived columns of a user.
export function derived(row: Underived): Pick<Row, "sortName" | "sortEmail" | "searchText"> {
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

// Returns the possible names of a user, the best one first. They may be empty.
function namesOf(row: Underived): string[] {
  return [fullName(row), row.username, row.email, row.phone].map((name) => name?.trim() ?? "");
}

function fullName(row: Underived): string {
  const names = [row.firstName, row.lastName].map((name) => name?.trim());
  return names.filter(Boolean).join(" ");
}
