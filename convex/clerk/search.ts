// The best matches of what a person types: whole ids and addresses, beginnings of them, then words of names.
import type { Doc } from "../_generated/dataModel";
import type { QueryCtx } from "../_generated/server";
import type { Status } from "./tables";
import { domainOf, domainTerm, fold, words } from "./text";

const BEST = 50; // matches, and rows that one read of an index may bring
const CANDIDATES = 100; // rows that have any of the words, of which those are chosen that have all
const LONGEST = 256; // characters; no id and no address is longer
const MOST_TERMS = 16; // Convex's, https://docs.convex.dev/production/state/limits; what more do is not said
const SHORTEST = { id: 8, externalId: 3, phone: 3 }; // characters of a beginning: "user_" begins everyone's id

type User = Doc<"users">;

export async function searchUsers(ctx: QueryCtx, search: string, status?: Status): Promise<User[]> {
  const text = clean(search);
  const email = text.toLowerCase();
  const name = fold(text);
  const phone = text.replace(/[\s().-]/g, "");
  const digits = phone.startsWith("+") ? phone : `+${phone}`;
  const isPhone = /^\+\d+$/.test(digits) && phone.length >= SHORTEST.phone;

  // Whoever has just what was typed comes first in an index.
  const [ids, externalIds, emails, names, phones, others] = await Promise.all([
    beginning(ctx, "clerkId", text, SHORTEST.id, status),
    beginning(ctx, "externalId", text, SHORTEST.externalId, status),
    beginning(ctx, "sortEmail", email, 1, status),
    beginning(ctx, "sortName", name, 1, status),
    isPhone ? beginning(ctx, "phone", digits, 1, status) : [],
    withAllParts(ctx, text, status),
  ]);
  // A whole id is meant as one. Its parts are words too, and of other users' names.
  const whole = ids.filter((user) => user.clerkId === text);
  if (whole.length > 0) return whole;
  const exact = [
    ...externalIds.filter((user) => user.externalId === text),
    ...emails.filter((user) => user.sortEmail === email),
    ...phones.filter((user) => user.phone === digits),
    ...names.filter((user) => user.sortName === name),
  ];
  const all = [...exact, ...emails, ...names, ...phones, ...externalIds, ...ids, ...others];
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

// What stands between two blanks: words of a name, or a domain, or something that may be either ("st.john").
type Part = { words: string[]; domain: string };

// Those who have every part, by relevance; of the last one the beginning is enough. Convex ranks rows that have
// any of the words, the rows that have most of them first, so that the few who have all are among the candidates.
async function withAllParts(ctx: QueryCtx, text: string, status: Status | undefined): Promise<User[]> {
  if (/[^ ]@/.test(text)) return []; // an address, whose beginning is looked for
  const parts = text.split(" ").map(readPart).filter(isSomething);
  const last = parts.pop();
  if (last === undefined) return [];

  const before = parts.flatMap((part) => [...part.words, ...termsOf(part)]);
  // One search has one last word, which is found by its beginning.
  const searches = [termsOf(last), last.words].filter((terms) => terms.length > 0);
  const share = CANDIDATES / searches.length;
  const found = await Promise.all(searches.map((terms) => withAny(ctx, [...before, ...terms], share, status)));
  return found.flat().filter((user) => parts.every((part) => has(user, part)) && has(user, last, true));
}

function readPart(text: string): Part {
  const isDomain = text.startsWith("@");
  const domain = isDomain ? text.slice(1) : text.indexOf(".") > 0 ? text : "";
  return { words: isDomain ? [] : words(text), domain: fold(domain) };
}

function isSomething(part: Part): boolean {
  return part.words.length > 0 || termsOf(part).length > 0;
}

function termsOf({ domain }: Part): string[] {
  return words(domain).length > 0 ? [domainTerm(domain)] : [];
}

async function withAny(ctx: QueryCtx, terms: string[], most: number, status: Status | undefined): Promise<User[]> {
  return await ctx.db
    .query("users")
    .withSearchIndex("by_search_text", (q) => {
      const found = q.search("searchText", terms.slice(0, MOST_TERMS).join(" "));
      return status === undefined ? found : found.eq("status", status);
    })
    .take(most);
}

function has(user: User, part: Part, isLast = false): boolean {
  const domain = `.${domainOf(user.email)}`;
  if (part.domain !== "") {
    const isWithin = isLast ? domain.includes(`.${part.domain}`) : domain.endsWith(`.${part.domain}`);
    if (isWithin) return true;
  }
  const known = user.searchText.split(" ");
  const isKnown = (word: string, index: number) =>
    known.includes(word) ||
    (isLast && index === part.words.length - 1 && known.some((other) => other.startsWith(word)));
  return part.words.length > 0 && part.words.every(isKnown);
}
