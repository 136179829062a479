import { useQueries } from "convex/react";
import type { FunctionArgs, FunctionReference, FunctionReturnType } from "convex/server";
import { useCallback, useMemo, useState } from "react";
import { deniedReason } from "./denied.ts";

export type Answer<Value> = {
  value: Value | undefined; // undefined: not there yet
  error: Error | undefined;
  retry: () => void;
};

// A live query whose failure is a value: the subscription stays, and when the query recovers so does the page.
// `args` has to be stable. null: not now.
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
  // Convex computes a failed query again for whoever subscribes anew.
  const retry = useCallback(() => {
    setPaused(true);
    setTimeout(() => setPaused(false));
  }, []);
  return it instanceof Error
    ? { value: undefined, error: it, retry }
    : { value: it, error: undefined, retry };
}

// The same within the Gate, which looks after a caller who may no longer see this.
export function useAdminAnswer<Query extends FunctionReference<"query">>(
  query: Query,
  args: FunctionArgs<Query> | null,
): Answer<FunctionReturnType<Query>> {
  const answer = useAnswer(query, args);
  if (deniedReason(answer.error) !== null) throw answer.error;
  return answer;
}
