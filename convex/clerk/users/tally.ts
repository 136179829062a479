// Computes by how much changes of rows change the counts. It does no I/O.
import { isCounted } from "../adopt/whole";
import type { Row } from "../tables";

const YEAR_10000 = Date.UTC(10000);

// A change of one row. null: the row did not exist, or does not exist any more.
export type Move = { clerkId: string; before: Row | null; after: Row | null };

// Numbers of users by name. A name is a status, or the UTC day of a sign-up, such as "2026-11-22".
export type Tally = Map<string, number>;

export function tally(moves: Move[]): Tally {
  const changes: Tally = new Map();
  const countUser = (user: Row | null, change: number) => {
    if (user === null || !isCounted(user)) return;
    count(changes, user.status, change);
    // Impossible times count for no day.
    const isTime = user.createdAt >= 0 && user.createdAt < YEAR_10000;
    if (isTime) count(changes, dayOf(user.createdAt), change);
  };
  for (const { before, after } of moves) {
    countUser(before, -1);
    countUser(after, 1);
  }
  return changes;
}

// Adds to the number of one name. What becomes 0 is left out.
function count(counts: Tally, name: string, change: number): void {
  const sum = (counts.get(name) ?? 0) + change;
  if (sum === 0) counts.delete(name);
  else counts.set(name, sum);
}

export function addTo(counts: Tally, changes: Tally): void {
  for (const [name, change] of changes) count(counts, name, change);
}

// Returns changes as text, which takes half of the bytes of an object: "banned active:-1 2026-11-22:3".
export function toText(changes: Tally): string {
  return [...changes].map(([name, change]) => (change === 1 ? name : `${name}:${change}`)).join(" ");
}

export function fromText(text: string): Tally {
  return new Map(
    text.split(" ").map((word): [string, number] => {
      const [name, change = "1"] = word.split(":");
      return [name!, Number(change)];
    }),
  );
}

// Returns the UTC day of a time in Unix milliseconds, such as "2026-11-22".
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

export function monthOf(day: string): string {
  return day.slice(0, 7);
}

// Returns the key of the document that has the count of a name: a month, or "status".
export function keyOf(name: string): string {
  return /^\d/.test(name) ? monthOf(name) : "status";
}
