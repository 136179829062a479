// Finds users by a search text: whole ids and addresses first, then beginnings of them, then words of names.
//
// An index is written with every row, so only names, addresses and Clerk ids are found by one. External ids and phone
// numbers are terms of the search text, and are then compared as a whole.
import type { QueryCtx } from "../../_generated/server";
import { USERS, type User } from "../module";
import type { Status } from "../tables";
import { readSorted } from "./sorted";
import { domainOf, domainTerm, fold, valueTerms, words } from "./text";

export const BEST = 50; // matches that a list has
export const ALL = 500; // matches that are read at once, to act on all or to export them
const CANDIDATES = 100; // rows with any of the words, from which the rows with all words are chosen, at least
const LONGEST = 256; // characters of a search text; no id and no address is longer
const MOST_TERMS = 16; // the limit of Convex: https://docs.convex.dev/production/state/limits
const SHORTEST = { id: 8, externalId: 3, phone: 3 }; // characters of a beginning; every Clerk id begins with "user_"
const SCANNED = 200; // rows with the beginning of a Clerk id, among which those of one status are looked for

// Returns at most so many of the users who are accepted, the best matches first, and whether there may be more.
export async function searchUsers(
  ctx: QueryCtx,
  search: string,
  status: Status | undefined,
  accepts: (user: User) => boolean,
  most = BEST,
): Promise<{ users: User[]; isMore: boolean }> {
  const text = clean(search);
  const email = text.toLowerCase();
  const name = fold(text);
  const phone = text.replace(/[\s().-]/g, "");
  const digits = phone.startsWith("+") ? phone : `+${phone}`;
  const isPhone = /^\+\d+$/.test(digits) && phone.length >= SHORTEST.phone;

  // Of each column, an exact match comes before the values that only begin with the text.
  const [ids, externalIds, emails, names, phones, others] = await Promise.all([
    withClerkId(ctx, text, most, status),
    withValue(ctx, "externalId", text, SHORTEST.externalId, most, status),
    beginning(ctx, "sortEmail", email, most, status),
    beginning(ctx, "sortName", name, most, status),
    isPhone ? withValue(ctx, "phone", digits, 1, most, status) : [],
    withAllParts(ctx, text, most, status),
  ]);
  // A whole Clerk id finds only its user, although parts of it may be words of other users' names.
  const whole = ids.filter((user) => user.clerkId === text);
  if (whole.length > 0) return { users: whole.filter(accepts), isMore: false };
  const exact = [
    ...externalIds.filter((user) => user.externalId === text),
    ...emails.filter((user) => user.sortEmail === email),
    ...phones.filter((user) => user.phone === digits),
    ...names.filter((user) => user.sortName === name),
  ];
  const all = [...exact, ...emails, ...names, ...phones, ...externalIds, ...ids, ...others];
  const users = [...new Map(all.map((user) => [user._id, user])).values()];
  // A read that has found as many as it returns may have left out others.
  return { users: users.filter(accepts).slice(0, most), isMore: users.length >= most };
}

// Returns the text in one line of limited length. It is cut between characters, because Convex refuses half of a
// surrogate pair.
function clean(search: string): string {
  return [...search.trim().replace(/\s+/g, " ")].slice(0, LONGEST).join("");
}

// Greater than all texts that begin with `prefix`: U+10FFFF is no character of a text.
function endOf(prefix: string): string {
  return `${prefix}\u{10ffff}`;
}

// Returns the users whose Clerk id begins with the text, or equals it if it is short.
async function withClerkId(ctx: QueryCtx, text: string, most: number, status: Status | undefined): Promise<User[]> {
  const end = text.length < SHORTEST.id ? `${text}\0` : endOf(text);
  const users = await ctx.db
    .query(USERS)
    .withIndex("by_clerk_id", (q) => q.gte("clerkId", text).lt("clerkId", end))
    .take(status === undefined ? most : Math.max(most, SCANNED));
  return users.filter((user) => status === undefined || user.status === status).slice(0, most);
}

// Returns the users whose `field` begins with `prefix`, in its order.
async function beginning(
  ctx: QueryCtx,
  field: "sortEmail" | "sortName",
  prefix: string,
  most: number,
  status: Status | undefined,
): Promise<User[]> {
  // An empty text has no beginning: it only equals another empty text.
  const before = prefix === "" ? "\0" : endOf(prefix);
  const sorted = { field, order: "asc" as const, from: prefix, before };
  return await readSorted(ctx, sorted, status, { after: null, until: null }, most);
}

// Returns the users whose `field` begins with `prefix`, or equals it if `prefix` has fewer than `shortest` characters.
async function withValue(
  ctx: QueryCtx,
  field: "externalId" | "phone",
  prefix: string,
  shortest: number,
  most: number,
  status: Status | undefined,
): Promise<User[]> {
  const terms = valueTerms(field, prefix);
  if (terms.length === 0) return [];
  const found = await withAny(ctx, terms, most, status);
  return found.filter(({ [field]: value }) =>
    prefix.length < shortest ? value === prefix : value?.startsWith(prefix) === true,
  );
}

// A part of the search text between two blanks: words of a name, a domain, or both if it may be either ("st.john").
type Part = { words: string[]; domain: string };

// Returns the users who have every part of the text, the most relevant first. The last part may be the beginning of a
// word. Convex returns the rows that have any of the words, those with most words first, so the rows with all of them
// are among the candidates.
async function withAllParts(ctx: QueryCtx, text: string, most: number, status: Status | undefined): Promise<User[]> {
  if (/[^ ]@/.test(text)) return []; // an address, which `beginning` finds
  const parts = text.split(" ").map(readPart).filter(isSearchable);
  const last = parts.pop();
  if (last === undefined) return [];

  const before = parts.flatMap((part) => [...part.words, ...termsOf(part)]);
  // Convex matches only the last word of a search by its beginning, so a last part that may be either needs two
  // searches.
  const searches = [termsOf(last), last.words].filter((terms) => terms.length > 0);
  const share = Math.max(most, CANDIDATES / searches.length);
  const found = await Promise.all(searches.map((terms) => withAny(ctx, [...before, ...terms], share, status)));
  return found.flat().filter((user) => parts.every((part) => has(user, part)) && has(user, last, true));
}

function readPart(text: string): Part {
  const isDomain = text.startsWith("@");
  const domain = isDomain ? text.slice(1) : text.indexOf(".") > 0 ? text : "";
  return { words: isDomain ? [] : words(text), domain: fold(domain) };
}

function isSearchable(part: Part): boolean {
  return part.words.length > 0 || termsOf(part).length > 0;
}

function termsOf({ domain }: Part): string[] {
  return words(domain).length > 0 ? [domainTerm(domain)] : [];
}

// Returns users who have any of the terms, the most relevant first.
async function withAny(ctx: QueryCtx, terms: string[], most: number, status: Status | undefined): Promise<User[]> {
  return await ctx.db
    .query(USERS)
    .withSearchIndex("by_search_text", (q) => {
      const found = q.search("searchText", terms.slice(0, MOST_TERMS).join(" "));
      return status === undefined ? found : found.eq("status", status);
    })
    .take(most);
}

// Returns whether a user has a part. Of the last part the beginning of its last word or of its domain is enough.
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
