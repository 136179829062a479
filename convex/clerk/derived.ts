// What sorting and search need, derived from a user's other columns.
import { domainTerms, fold, words } from "./text";
import type { Row } from "./rules";

type Underived = Omit<Row, "sortName" | "sortEmail" | "searchText">;

export function derived(row: Underived): Pick<Row, "sortName" | "sortEmail" | "searchText"> {
  const terms = [...words(fullName(row)), ...words(row.username ?? ""), ...domainTerms(row.email)];
  return {
    sortName: namesOf(row).map(fold).find(Boolean) ?? row.clerkId,
    sortEmail: row.email?.toLowerCase(),
    searchText: [...new Set(terms)].join(" "),
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
