// Text as sorting and search compare it: without case, without diacritics, in the words that Convex's search index has.

const LONGEST_WORD = 31; // bytes; Convex leaves longer words out of the index
const MOST_DOMAINS = 4; // of an address: its domain, and those above it

// Marks on letters that people leave out when they type. The vowel signs of Indic scripts are marks as well, but
// without them a name is another one. The same holds for the two Japanese sound marks.
const DIACRITICS =
  /(?![\u3099\u309a])(?=[\p{Script=Inherited}\p{Script=Cyrillic}\p{Script=Arabic}\p{Script=Hebrew}])\p{Mn}/gu;

// Letters that Unicode does not take apart.
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
  ς: "σ", // as it is written at the end of a word
};
const SPECIAL = new RegExp(`[${Object.keys(PLAIN).join("")}]`, "g");

// A letter that no folded text has, because Unicode takes it apart. It marks what is no word of a name.
const MARK = "\u00aa";

// A word that nobody looks for.
export const PADDING = MARK;

export function fold(text: string): string {
  const lower = text.normalize("NFKD").toLowerCase();
  const plain = lower.replace(DIACRITICS, "").replace(SPECIAL, (letter) => PLAIN[letter]!);
  return plain.normalize("NFC").replace(/\s+/g, " ").trim();
}

// The folded words of a text, split where Convex splits.
export function words(text: string): string[] {
  return (fold(text).match(/[\p{Alphabetic}\p{N}]+/gu) ?? []).map(cut);
}

// The domain of an address, folded, or nothing.
export function domainOf(email: string | undefined): string {
  const at = email?.lastIndexOf("@") ?? -1;
  return at < 0 ? "" : fold(email!.slice(at + 1));
}

// One word for a whole domain, since its parts are words that everyone's address has.
export function domainTerm(domain: string): string {
  return cut(MARK + words(domain).join(""));
}

// The terms by which an address is found: its domain, and each above it but for the top, as "com" is.
export function domainTerms(email: string | undefined): string[] {
  const labels = domainOf(email).split(".").filter(Boolean);
  const fewest = Math.min(labels.length, 2);
  const domains = labels.map((_, index) => labels.slice(index)).filter((rest) => rest.length >= fewest);
  return domains.slice(-MOST_DOMAINS).map((rest) => domainTerm(rest.join(".")));
}

// Cut between characters.
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
