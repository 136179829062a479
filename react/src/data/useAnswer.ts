import { useQueries } from "convex/react";
import type { FunctionArgs, FunctionReference, FunctionReturnType } from "convex/server";
import { useCallback, useMemo, useState } from "react";
import { deniedReason } from "./denied.ts";

export type Answer<Value> = {
  value: Value | undefined; // undefined: not loaded yet
  error: Error | undefined;
  retry: () => void;
};

// Subscribes to a query and returns its error as a value. The subscription continues, so the page recovers with the
// query. `args` must keep its identity. With null it does not subscribe.
export function useAnswer<Query extends FunctionReference<"query">>(
  query: Query,
  args: FunctionArgs<Query> | null,
): Answer<FunctionReturnType<Query>> {
  const [isPaused, setPaused] = useState(false);
  const request = useMemo(
    () => (args === null || isPaused ? {} : { it: { query, args } }),
    [query, args, isPaused],
  );
  const { it } = useQueries(request as Parameters<typeof useQueries>[0]);
  // Convex runs a failed query again for a new subscription.
  const retry = useCallback(() => {
    setPaused(true);
    setTimeout(() => setPaused(false));
  }, []);
  return it instanceof Error
    ? { value: undefined, error: it, retry }
    : { value: it, error: undefined, retry };
}

// Does the same within the Gate. Errors of access are thrown, and the Gate handles them.
export function useAdminAnswer<Query extends FunctionReference<"query">>(
  query: Query,
  args: FunctionArgs<Query> | null,
): Answer<FunctionReturnType<Query>> {
  const answer = useAnswer(query, args);
  if (deniedReason(answer.error) !== null) throw answer.error;
  return answer;
}
