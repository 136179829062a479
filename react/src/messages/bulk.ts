// Words of the selection, and of actions on several users.
import type { BulkAction, Confirmed } from "../manage/bulk.ts";

const VERBS: Record<Confirmed, string> = { ban: "Ban", lock: "Lock", role: "Change role of", delete: "Delete" };
const DONE: Record<BulkAction, string> = {
  ban: "banned",
  unban: "unbanned",
  lock: "locked",
  unlock: "unlocked",
  role: "changed",
  delete: "deleted",
};

// `count` decides between one and many, and `number` is how the locale writes it.
const users = (count: number, number: string) => (count === 1 ? "1 user" : `${number} users`);

export const bulk = {
  selection: "Selection",
  select: (name: string) => `Select ${name}`,
  selectAll: "Select all that are shown",
  isYou: "This is you. Another administrator can act on you.",
  selected: (count: number, number: string) => `${number} selected`,
  actions: "Actions for the selected users",
  clear: "Clear",
  // null: it is not known how many match
  selectMatching: (total: number | null, number: string) =>
    total === null ? "Select all that match" : `Select all ${number} that match`,
  gathering: "Reading the users that match…",
  cut: (most: number, number: string) => `The first ${number} that match are selected, which is the most at a time. Do the others afterwards.`,
  notGathered: "Not all that match could be read:",
  cancelled: "Not tried, because it was cancelled.",
  paused: (clock: string) => `The service takes no more at the moment. It continues by itself at ${clock}.`,
  wait: "Wait until the other action is done.",
  cancel: "Cancel",
  undo: "Undo",
  title: (action: Confirmed, count: number, number: string) => `${VERBS[action]} ${users(count, number)}`,
  question: (action: Confirmed, count: number, number: string) => `${VERBS[action]} ${users(count, number)}?`,
  andMore: (count: number, number: string) => `and ${number} more`,
  admins: (count: number, number: string) =>
    count === 1
      ? "One of them is an administrator, who loses access to this dashboard."
      : `${number} of them are administrators, who lose access to this dashboard.`,
  progress: (count: string, total: string) => `${count} of ${total}`,
  resultOfEach: "Result of each user",
  results: "Results",
  done: "done",
  doneAtClerk: "done at Clerk, not here yet",
  notAnswered: "The service did not answer for it.",
  summary: (action: BulkAction, done: number, total: number, number: (value: number) => string) => {
    const counted = done === total ? users(total, number(total)) : `${number(done)} of ${users(total, number(total))}`;
    if (action === "role") return `The role of ${counted} was changed.`;
    return `${counted} ${done === 1 ? "was" : "were"} ${DONE[action]}.`;
  },
};
