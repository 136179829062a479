// What sorting and search need, derived from a user's other columns.
import { domainTerms, fold, PADDING, words } from "./text";
import type { Row } from "./rules";

// Convex ranks a short text before a long one. With all of them of one length it ranks those first that have most of
// the words, so that the few users who have all of them are found among the many who have one.
const LENGTH = 8; // words; hardly a name has more

type Underived = Partial<Row> & { clerkId: string };

export function derived(row: Underived): Pick<Row, "sortName" | "sortEmail" | "searchText"> {
  const terms = new Set([...words(fullName(row)), ...words(row.username ?? ""), ...domainTerms(row.email)]);
  const padding: string[] = Array(Math.max(LENGTH - terms.size, 0)).fill(PADDING);
  return {
    sortName: namesOf(row).map(fold).find(Boolean) ?? row.clerkId,
    sortEmail: row.email?.toLowerCase(),
    searchText: [...terms, ...padding].join(" "),
  };
}

// Never empty.
export function displayName(row: Underived): string {
  return namesOf(row).find(Boolean) ?? row.clerkId;
}

// The best one first.
function namesOf(row: Underived): string[] {
  return [fullName(row), row.username, row.email, row.phone].map((name) => name?.trim() ?? "");
}

function fullName(row: Underived): string {
  const names = [row.firstName, row.lastName].map((name) => name?.trim());
  return names.filter(Boolean).join(" ");
}
