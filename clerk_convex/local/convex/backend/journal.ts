// A page that is read again for a subscriber must end where it ended before, or rows inserted in its middle
// would push its last rows out while the next page still starts after them. So a query's journal keeps where
// its pages ended.
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

// A journal comes back from the client: what is none counts as none.
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

// Runs one `1.0/queryPage` with the end that the journal remembers, and remembers its end in turn.
export async function journaledPage(args: string, read: (args: string) => Promise<string>): Promise<string> {
  const request = JSON.parse(args) as PageArgs;
  const frame = frames.getStore();
  const key = JSON.stringify([request.query, request.cursor]);
  const endCursor =
    request.endCursor ?? frame?.knownPages.find((page) => page.request === key)?.endCursor ?? null;
  const page = JSON.parse(await read(JSON.stringify({ ...request, endCursor }))) as Page;
  if (endCursor !== null && endCursor !== "_end_cursor") {
    // convex-test says "done" when the document at the end of the page is gone, though others may follow it.
    page.continueCursor = endCursor;
    page.isDone = false;
  }
  frame?.pages.push({ request: key, endCursor: page.continueCursor });
  return JSON.stringify(page);
}
