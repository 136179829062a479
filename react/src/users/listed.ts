import type { UserSummary } from "../functions.ts";
import { displayName } from "./displayName.ts";

// A user of the list, in its order.
export type Listed = { clerkId: string; name: string };

// Returns the users of the rows: the same array as before if nothing has changed.
export function listedOf(rows: readonly UserSummary[], before: readonly Listed[]): readonly Listed[] {
  const users = rows.map((user) => ({ clerkId: user.clerkId, name: displayName(user) }));
  const isSame = ({ clerkId, name }: Listed, index: number) =>
    before[index]!.clerkId === clerkId && before[index]!.name === name;
  return users.length === before.length && users.every(isSame) ? before : users;
}
