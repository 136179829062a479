import { useConvex } from "convex/react";
import type { FunctionArgs, FunctionReference, FunctionReturnType, PaginationOptions, PaginationResult } from "convex/server";
import { useMemo, useSyncExternalStore } from "react";
import { deniedReason } from "./denied.ts";
import { PageList, type Loaded, type PageOptions, type Watch } from "./PageList.ts";

type PagedQuery<Row> = FunctionReference<"query", "public", { paginationOpts: PaginationOptions }, PaginationResult<Row>>;
export type RowOf<Query extends FunctionReference<"query">> = FunctionReturnType<Query>["page"][number];
export type ArgsOf<Query extends FunctionReference<"query">> = Omit<FunctionArgs<Query>, "paginationOpts">;

export type List<Row, Args> = {
  list: PageList<Row & { _id: string }>;
  args: Args;
  now: Loaded<Row>;
};

// Subscribes to a list of any length. `args` must keep its identity; `wanted` is the number of rows to load at first.
// Errors of access, and one that leaves no rows to show, are thrown.
export function useList<Query extends PagedQuery<any>>(
  query: Query,
  args: ArgsOf<Query>,
  wanted?: number,
): List<RowOf<Query>, ArgsOf<Query>> {
  type Row = RowOf<Query> & { _id: string };
  const client = useConvex();
  const list = useMemo(() => {
    const watch = (paginationOpts: PageOptions) =>
      client.watchQuery(query, { ...args, paginationOpts } as any) as Watch<PaginationResult<Row>>;
    return new PageList<Row>(watch, wanted);
  }, [client, query, args, wanted]);
  const now = useSyncExternalStore(list.subscribe, list.read, list.read);
  if (now.error !== null && (deniedReason(now.error) !== null || now.rows.length === 0)) throw now.error;
  return { list, args, now };
}
