import type { UserSummary } from "../functions.ts";

export const MOST_SELECTED = 1000; // as many as the service's usual limit lets through in a minute

// Returns the users of the pages but the admin's own, and whether there are more than may be selected, or than are
// found: there may be more if the pages have `mostFound`.
export async function gather(
  pages: AsyncIterable<readonly UserSummary[]>,
  myId: string,
  onCount: (count: number) => void,
  mostFound = Infinity,
): Promise<{ users: UserSummary[]; isCut: boolean }> {
  const users: UserSummary[] = [];
  let found = 0;
  for await (const page of pages) {
    found += page.length;
    users.push(...page.filter(({ clerkId }) => clerkId !== myId));
    if (users.length > MOST_SELECTED) return { users: users.slice(0, MOST_SELECTED), isCut: true };
    onCount(users.length);
  }
  return { users, isCut: found >= mostFound };
}
