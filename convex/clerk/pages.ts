// Pages of what may be long.
import type { PaginationOptions } from "convex/server";

const MOST = 100; // rows on a page, whatever was asked for

export function bounded(options: PaginationOptions): PaginationOptions {
  const wanted = Math.trunc(options.numItems) || 1;
  return { ...options, numItems: Math.min(Math.max(wanted, 1), MOST) };
}
