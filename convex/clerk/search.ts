// The best matches of what a person types: whole ids and addresses, beginnings of them, then words of names.
import type { Doc } from "../_generated/dataModel";
import type { QueryCtx } from "../_generated/server";
import type { Status } from "./tables";

const BEST = 50; // matches, and what one read of an index may bring
const LONGEST = 256; // characters; no id and no address is longer
const MOST_TERMS = 16; // Convex's, https://docs.convex.dev/production/state/limits; what more do is not said
const SHORTEST = { id: 8, externalId: 3, phone: 3 }; // characters of a beginning: "user_" begins everyone's id

type User = Doc<"users">;

export async function searchUsers(ctx: QueryCtx, search: string, status?: Status): Promise<User[]> {
  const text = clean(search);
  const name = text.toLowerCase();
  const phone = text.replace(/[\s().-]/g, "");
  const digits = phone.startsWith("+") ? phone : `+${phone}`;
  const isPhone = /^\+\d+$/.test(digits) && phone.length >= SHORTEST.phone;

  // Whoever has just what was typed comes first in an index.
  const [ids, externalIds, emails, names, phones, words] = await Promise.all([
    beginning(ctx, "clerkId", text, SHORTEST.id, status),
    beginning(ctx, "externalId", text, SHORTEST.externalId, status),
    beginning(ctx, "sortEmail", name, 1, status),
    beginning(ctx, "sortName", name, 1, status),
    isPhone ? beginning(ctx, "phone", digits, 1, status) : [],
    withWords(ctx, text, status),
  ]);
  // A whole id is meant as one. Its parts are words too, and of other users' names.
  const whole = ids.filter((user) => user.clerkId === text);
  if (whole.length > 0) return whole;
  const exact = [
    ...externalIds.filter((user) => user.externalId === text),
    ...emails.filter((user) => user.sortEmail === name),
    ...phones.filter((user) => user.phone === digits),
    ...names.filter((user) => user.sortName === name),
  ];
  const all = [...exact, ...emails, ...names, ...phones, ...externalIds, ...ids, ...words];
  return [...new Map(all.map((user) => [user._id, user])).values()].slice(0, BEST);
}

// One line that is not too long, cut between characters: Convex refuses half of one.
function clean(search: string): string {
  return [...search.trim().replace(/\s+/g, " ")].slice(0, LONGEST).join("");
}

const INDEXES = {
  clerkId: ["by_clerk_id", "by_status_and_clerk_id"],
  externalId: ["by_external_id", "by_status_and_external_id"],
  sortEmail: ["by_sort_email", "by_status_and_sort_email"],
  sortName: ["by_sort_name", "by_status_and_sort_name"],
  phone: ["by_phone", "by_status_and_phone"],
} as const;

async function beginning(
  ctx: QueryCtx,
  field: keyof typeof INDEXES,
  prefix: string,
  shortest: number,
  status: Status | undefined,
): Promise<User[]> {
  // Up to what begins with it, or only it. Nothing that is text has the last of all characters in it.
  const end = prefix + (prefix.length < shortest ? "\0" : "\u{10ffff}");
  const [ofAll, ofStatus] = INDEXES[field];
  const users = ctx.db.query("users");
  const found =
    status === undefined
      ? users.withIndex(ofAll, (q) => q.gte(field, prefix).lt(field, end))
      : users.withIndex(ofStatus, (q) => q.eq("status", status).gte(field, prefix).lt(field, end));
  return await found.take(BEST);
}

// By relevance, any of the words. Convex splits at all that is no letter and no digit. An address is no name: "com"
// is not looked for.
async function withWords(ctx: QueryCtx, text: string, status: Status | undefined): Promise<User[]> {
  const words = text.match(/[\p{L}\p{N}]+/gu) ?? [];
  if (words.length === 0 || text.includes("@")) return [];
  const query = words.slice(0, MOST_TERMS).join(" ");
  return await ctx.db
    .query("users")
    .withSearchIndex("by_search_text", (q) => {
      const found = q.search("searchText", query);
      return status === undefined ? found : found.eq("status", status);
    })
    .take(BEST);
}
