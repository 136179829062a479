// Folds text for sorting and search: without case and diacritics, split into words as Convex's search index splits it.

const LONGEST_WORD = 31; // bytes; Convex's search index has no longer words
const MOST_DOMAINS = 4; // terms for an address: its domain, and the domains above it

// The marks that people leave out when they type. Vowel signs of Indic scripts and the two Japanese sound marks are not
// among them, because without them a name is a different one.
const DIACRITICS =
  /(?![\u3099\u309a])(?=[\p{Script=Inherited}\p{Script=Cyrillic}\p{Script=Arabic}\p{Script=Hebrew}])\p{Mn}/gu;

// Letters that the normalization of Unicode does not decompose.
const PLAIN: Record<string, string> = {
  æ: "ae",
  đ: "d",
  ð: "d",
  ħ: "h",
  ı: "i",
  ł: "l",
  ø: "o",
  œ: "oe",
  ß: "ss",
  þ: "th",
  ς: "σ", // the form of σ at the end of a word
};
const SPECIAL = new RegExp(`[${Object.keys(PLAIN).join("")}]`, "g");

// Letters that no folded text contains, because normalization replaces them. They mark terms that are no word of a name.
const MARKS = { domain: "\u00aa", externalId: "\u00ba", phone: "\u02b0" };

// A word that every row has and that no text of a search contains.
export const PADDING = MARKS.domain;

// Returns the text in lower case, without diacritics and with single blanks.
export function fold(text: string): string {
  const lower = text.normalize("NFKD").toLowerCase();
  const plain = lower.replace(DIACRITICS, "").replace(SPECIAL, (letter) => PLAIN[letter]!);
  return plain.normalize("NFC").replace(/\s+/g, " ").trim();
}

// Returns the folded words of a text, split as Convex splits them.
export function words(text: string): string[] {
  return split(text).map(cut);
}

function split(text: string): string[] {
  return fold(text).match(/[\p{Alphabetic}\p{N}]+/gu) ?? [];
}

// Returns the folded domain of an address, or "" if there is none.
export function domainOf(email: string | undefined): string {
  const at = email?.lastIndexOf("@") ?? -1;
  return at < 0 ? "" : fold(email!.slice(at + 1));
}

// Returns a domain as one term. Its labels alone, such as "com", would match too many users.
export function domainTerm(domain: string): string {
  return cut(MARKS.domain + words(domain).join(""));
}

// Returns an external id or a phone number as terms: its letters and digits, in pieces of the longest length that
// Convex indexes. The terms of a beginning are the first terms of the whole, except that the last one may be shorter.
export function valueTerms(kind: "externalId" | "phone", value: string | undefined): string[] {
  let rest = split(value ?? "").join("");
  const terms: string[] = [];
  while (rest !== "") {
    const term = cut(MARKS[kind] + rest);
    terms.push(term);
    rest = rest.slice(term.length - MARKS[kind].length);
  }
  return terms;
}

// Returns the terms by which an address is found: its domain and each domain above it, except for the top level.
export function domainTerms(email: string | undefined): string[] {
  const labels = domainOf(email).split(".").filter(Boolean);
  const fewest = Math.min(labels.length, 2);
  const domains = labels.map((_, index) => labels.slice(index)).filter((rest) => rest.length >= fewest);
  return domains.slice(-MOST_DOMAINS).map((rest) => domainTerm(rest.join(".")));
}

// Cuts a word to the longest length that Convex indexes, between two characters.
function cut(word: string): string {
  let bytes = 0;
  let end = 0;
  for (const character of word) {
    const code = character.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (bytes > LONGEST_WORD) break;
    end += character.length;
  }
  return word.slice(0, end);
}
