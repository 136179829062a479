// Keeps the ends of a query's pages in a journal. When a subscribed query runs again, each page must end where it ended
// before. Otherwise rows inserted in a page would push its last rows out, while the next page still starts after them.
import { frames, type PageEnd } from "./runtime.ts";

interface PageArgs {
  query: unknown;
  cursor: string | null;
  endCursor: string | null;
}

interface Page {
  isDone: boolean;
  continueCursor: string;
}

// Parses a journal that a client sent back. Anything malformed counts as an empty journal.
export function parseJournal(journal: string | null | undefined): PageEnd[] {
  try {
    const pages: unknown = JSON.parse(journal ?? "[]");
    return Array.isArray(pages) ? pages.filter(isPageEnd) : [];
  } catch {
    return [];
  }
}

function isPageEnd(page: Partial<PageEnd> | null): page is PageEnd {
  return typeof page?.request === "string" && typeof page.endCursor === "string";
}

export function writeJournal(pages: PageEnd[]): string | null {
  return pages.length === 0 ? null : JSON.stringify(pages);
}

// Runs one `1.0/queryPage` with the end from the journal, and records the end of the page that was read.
export async function journaledPage(args: string, read: (args: string) => Promise<string>): Promise<string> {
  const request = JSON.parse(args) as PageArgs;
  const frame = frames.getStore();
  const key = JSON.stringify([request.query, request.cursor]);
  const endCursor =
    request.endCursor ?? frame?.knownPages.find((page) => page.request === key)?.endCursor ?? null;
  const page = JSON.parse(await read(JSON.stringify({ ...request, endCursor }))) as Page;
  if (endCursor !== null && endCursor !== "_end_cursor") {
    // convex-test returns isDone when the document at the end of the page is deleted, although others may follow it.
    page.continueCursor = endCursor;
    page.isDone = false;
  }
  frame?.pages.push({ request: key, endCursor: page.continueCursor });
  return JSON.stringify(page);
}
