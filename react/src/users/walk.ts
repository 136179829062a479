// Reads all users of a search or a filter, page by page, beside the subscriptions of the list.
import type { PaginationOptions, PaginationResult } from "convex/server";
import type { UsersArgs, UserSummary } from "../functions.ts";

const PAGE_SIZE = 100; // the most that Convex's function returns
export const MOST_FOUND = 500; // the most that it returns of a search, which is one page

export type ReadPage = (args: UsersArgs & { paginationOpts: PaginationOptions }) => Promise<PaginationResult<UserSummary>>;

// Yields each user once, in pieces, some of which may be empty. They come in the order in which they were created,
// because that never changes: in another order, a user who changes meanwhile would be left out or come twice.
export async function* walk(read: ReadPage, args: UsersArgs, signal: AbortSignal): AsyncGenerator<UserSummary[]> {
  const order = args.sort?.by === "createdAt" ? args.sort.order : "desc";
  const request: UsersArgs = args.search === undefined ? { ...args, sort: { by: "createdAt", order } } : args;
  const known = new Set<string>();
  let cursor: string | null = null;
  do {
    const paginationOpts = { numItems: args.search === undefined ? PAGE_SIZE : MOST_FOUND, cursor };
    const found: PaginationResult<UserSummary> = await unlessAborted(read({ ...request, paginationOpts }), signal);
    const page = found.page.filter(({ clerkId }) => !known.has(clerkId));
    for (const { clerkId } of page) known.add(clerkId);
    yield page;
    cursor = found.isDone ? null : found.continueCursor;
  } while (cursor !== null);
}

// Offline, an answer may take for ever.
async function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
