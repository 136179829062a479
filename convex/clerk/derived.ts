// What sorting and search need, derived from a user's other columns.
import type { Row } from "./rules";

export function derived(row: Omit<Row, "sortName" | "sortEmail" | "searchText">) {
  const fullName = [row.firstName, row.lastName].filter(Boolean).join(" ");
  const name = fullName || row.username || row.email || row.phone || row.clerkId;
  return {
    sortName: name.toLowerCase(),
    sortEmail: row.email?.toLowerCase(),
    searchText: [fullName, row.username].filter(Boolean).join(" "),
  };
}
