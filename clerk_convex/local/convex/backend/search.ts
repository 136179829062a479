// Searches text as Convex does: ranks rows by BM25, matches the last word also as a prefix, and sorts equal ranks
// newest first. convex-test only tests whether a row has one of the words.
//
// Follows get-convex/convex-backend: crates/search/src/{lib,constants}.rs and its tantivy.
//
// Every search looks at every row of its table and caches the words of each, which is fast enough for about 10,000
// rows. Convex rounds lengths above 40 words and computes with 32 bits, so scores that are nearly equal may be sorted
// differently there.
import { compareValues, type JSONValue } from "convex/values";

import type { Database, Document, Internals, Page, PageRequest, Query, SearchSource } from "./database.ts";

const MAX_QUERY_WORDS = 16;
const MAX_TERMS = 64; // words, words that the prefix matches, and filters together
const MAX_WORD_BYTES = 31;
const MAX_FILTERS = 8;
const MAX_RESULTS = 1024;

// The constants of BM25 in tantivy.
const K1 = 1.2;
const B = 0.75;
const PREFIX_WEIGHT = 0.5;

const END = "_end_cursor";

interface Terms {
  frequencies: Map<string, number>;
  length: number; // in words
}

interface Match {
  document: Document;
  score: number;
}

type Key = [score: number, creationTime: number, id: string];

export function rankSearches(database: Database, internals: Internals): void {
  const original = {
    evaluateQuery: database._evaluateQuery.bind(database),
    queryNext: database.queryNext.bind(database),
    paginate: database.paginate.bind(database),
  };
  const remembered = new Map<string, WeakMap<Document, Terms>>(); // a changed row is a new Document
  const cut = new WeakSet<Document[]>(); // results that were cut at MAX_RESULTS

  function termsOf(index: string, document: Document, text: string): Terms {
    let known = remembered.get(index);
    if (known === undefined) {
      known = new WeakMap();
      remembered.set(index, known);
    }
    let terms = known.get(document);
    if (terms === undefined) {
      terms = count(text);
      known.set(document, terms);
    }
    return terms;
  }

  function search(source: SearchSource): Match[] {
    const { table, field, text, filters } = compile(database, source);
    const query = words(text, MAX_QUERY_WORDS);
    const { evaluateFieldPath, evaluateQueryValue } = internals;
    const wanted = filters.map(({ fieldPath, value }) => ({ fieldPath, value: evaluateQueryValue(value) }));
    const found: { document: Document; terms: Terms }[] = [];
    const rows = new Map<string, number>(); // the number of rows that have the term
    const prefix = query.at(-1);
    const whole = new Set(query);
    let total = 0;
    let length = 0;
    database._iterateDocs(table, (document) => {
      total += 1;
      const value = evaluateFieldPath(field, document);
      if (typeof value !== "string" || prefix === undefined) return;
      const terms = termsOf(`${source.indexName} ${field}`, document, value);
      length += terms.length;
      let matches = false;
      for (const term of terms.frequencies.keys()) {
        if (whole.has(term) || term.startsWith(prefix)) {
          rows.set(term, (rows.get(term) ?? 0) + 1);
          matches = true;
        }
      }
      if (
        matches &&
        wanted.every((filter) => compareValues(evaluateFieldPath(filter.fieldPath, document), filter.value) === 0)
      ) {
        found.push({ document, terms });
      }
    });
    const weights = weigh(rows, whole, total, MAX_TERMS - filters.length);
    return found
      .map(({ document, terms }) => ({ document, score: score(terms, weights, length / total) }))
      .filter((match) => match.score > 0)
      .sort((a, b) => compareKeys(keyOf(a), keyOf(b)))
      .slice(0, MAX_RESULTS);
  }

  function passes({ operators }: Query): (match: Match) => boolean {
    const filters = operators.flatMap((operator) => ("filter" in operator ? [operator.filter] : []));
    return ({ document }) => filters.every((filter) => internals.evaluateFilter(document, filter));
  }

  function results(query: Query, source: SearchSource): Document[] {
    const matches = search(source);
    const limit = query.operators.find((operator) => "limit" in operator)?.limit ?? Infinity;
    const documents = matches.filter(passes(query)).map(({ document }) => document);
    const taken = documents.slice(0, limit);
    if (matches.length === MAX_RESULTS && taken.length < limit) cut.add(taken);
    return taken;
  }

  function page({ query, cursor, endCursor, pageSize }: PageRequest, source: SearchSource): Page {
    const [start, end] = [parseCursor(cursor), parseCursor(endCursor)];
    const isWithin = (match: Match): boolean =>
      (start === null || compareKeys(keyOf(match), start) > 0) &&
      (end === null || compareKeys(keyOf(match), end) <= 0);
    const matches = cursor === END ? [] : search(source).filter(isWithin);
    const isWanted = passes(query);
    const documents: Document[] = [];
    let continueCursor = end === null ? END : (endCursor as string);
    for (const [index, match] of matches.entries()) {
      if (isWanted(match)) documents.push(match.document);
      const full = endCursor === null && documents.length >= pageSize;
      if (full && index + 1 < matches.length) continueCursor = JSON.stringify(keyOf(match));
      if (full) break;
      if (index + 1 === MAX_RESULTS) throw tooMany();
    }
    const isDone = continueCursor === END;
    return { page: documents, isDone, continueCursor, splitCursor: null, pageStatus: null };
  }

  database._evaluateQuery = (query) =>
    query.source.type === "Search" ? results(query, query.source) : original.evaluateQuery(query);
  database.queryNext = (queryId) => {
    const rest = database._queryResults[queryId];
    if (rest?.length === 0 && cut.has(rest)) throw tooMany();
    return original.queryNext(queryId);
  };
  database.paginate = (request) =>
    request.query.source.type === "Search"
      ? page(request, request.query.source)
      : original.paginate(request);
}

// Returns the table, field, text and filters of a search. Throws in Convex's words if the index does not allow it.
function compile(database: Database, { indexName, filters }: SearchSource) {
  const [table, name] = indexName.split(".") as [string, string];
  const index = database._schema?.tables
    .get(table)
    ?.searchIndexes.find(({ indexDescriptor }) => indexDescriptor === name);
  if (index === undefined) throw new Error(`Index ${indexName} not found.`);
  const query = `Search query against ${indexName}`;
  const searches = filters.filter(({ type }) => type === "Search");
  const conditions = filters.filter(({ type }) => type === "Eq");
  for (const { fieldPath } of searches) {
    if (fieldPath !== index.searchField) {
      throw new Error(
        `${query} contains a search filter against "${fieldPath}", which doesn't match the indexed ` +
          `\`searchField\` "${index.searchField}".`,
      );
    }
  }
  for (const { fieldPath } of conditions) {
    if (!index.filterFields.includes(fieldPath)) {
      throw new Error(
        `${query} contains an equality filter on "${fieldPath}" but that field isn't indexed for filtering in ` +
          "`filterFields`.",
      );
    }
  }
  if (conditions.length > MAX_FILTERS) {
    throw new Error(
      `${query} has too many filter conditions. Max: ${String(MAX_FILTERS)} Actual: ${String(conditions.length)}`,
    );
  }
  const [search, another] = searches;
  if (search === undefined || another !== undefined) {
    throw new Error(`${query} must contain one search filter like \`q.search("${index.searchField}", searchText)\`.`);
  }
  return { table, field: index.searchField, text: search.value as string, filters: conditions };
}

// Returns the words of a text: its runs of letters and digits in lower case, without very long ones.
export function words(text: string, limit = Infinity): string[] {
  const found: string[] = [];
  for (const [word] of text.matchAll(/[\p{Alphabetic}\p{N}]+/gu)) {
    if (found.length === limit) break;
    // Each character alone, as tantivy does it: the lower case of a whole word would change a sigma at its end.
    if (Buffer.byteLength(word) <= MAX_WORD_BYTES) found.push(Array.from(word, (it) => it.toLowerCase()).join(""));
  }
  return found;
}

function count(text: string): Terms {
  const frequencies = new Map<string, number>();
  const all = words(text);
  for (const word of all) frequencies.set(word, (frequencies.get(word) ?? 0) + 1);
  return { frequencies, length: all.length };
}

// Returns the weight of each term. A term that fewer rows have weighs more. If there are more than `limit` terms, whole
// words are kept before words that only match the prefix.
function weigh(rows: Map<string, number>, whole: Set<string>, total: number, limit: number): Map<string, number> {
  const order = [...rows.keys()].sort((a, b) => Number(whole.has(b)) - Number(whole.has(a)) || (a < b ? -1 : 1));
  return new Map(
    order.slice(0, limit).map((term) => {
      const having = rows.get(term) ?? 0;
      const rarity = Math.log(1 + (total - having + 0.5) / (having + 0.5));
      return [term, rarity * (1 + K1) * (whole.has(term) ? 1 : PREFIX_WEIGHT)];
    }),
  );
}

function score({ frequencies, length }: Terms, weights: Map<string, number>, averageLength: number): number {
  const norm = K1 * (1 - B + (B * length) / averageLength);
  let sum = 0;
  for (const [term, weight] of weights) {
    const frequency = frequencies.get(term) ?? 0;
    sum += (weight * frequency) / (frequency + norm);
  }
  return sum;
}

function keyOf({ document, score }: Match): Key {
  return [score, document._creationTime, document._id];
}

// Compares two keys in descending order.
function compareKeys(a: Key, b: Key): number {
  return b[0] - a[0] || b[1] - a[1] || (a[2] === b[2] ? 0 : a[2] > b[2] ? -1 : 1);
}

function parseCursor(cursor: string | null): Key | null {
  if (cursor === null || cursor === END) return null;
  const key = JSON.parse(cursor) as JSONValue;
  if (!Array.isArray(key) || typeof key[0] !== "number" || typeof key[1] !== "number" || typeof key[2] !== "string") {
    throw new Error("InvalidCursor: this cursor is not from this search.");
  }
  return key as Key;
}

function tooMany(): Error {
  return new Error(
    `Search query scanned too many documents (fetched ${String(MAX_RESULTS)}). Consider using a smaller limit, ` +
      "paginating the query, or using a filter field to limit the number of documents pulled from the search index.",
  );
}
