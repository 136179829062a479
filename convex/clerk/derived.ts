// What sorting and search need, derived from a user's other columns.
import type { Row } from "./rules";

type Underived = Partial<Row> & { clerkId: string };

export function derived(row: Underived) {
  return {
    sortName: displayName(row).toLowerCase(),
    sortEmail: row.email?.toLowerCase(),
    searchText: [fullName(row), row.username].filter(Boolean).join(" "),
  };
}

// Never empty.
export function displayName(row: Underived): string {
  return fullName(row) || row.username || row.email || row.phone || row.clerkId;
}

function fullName(row: Underived): string {
  return [row.firstName, row.lastName].filter(Boolean).join(" ");
}
