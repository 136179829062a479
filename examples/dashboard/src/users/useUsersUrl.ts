// The page's state is in the URL. An app with another router changes this file and nothing else in users/.
import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";
import { readView, writeView, type UsersView } from "./usersView.ts";

const OPENED_HERE = { opened: "here" };

export function useUsersUrl() {
  const [params, setParams] = useSearchParams();
  const view = useMemo(() => readView(params), [params]);

  // A choice can be undone with the back button; typing leaves no trail.
  const setView = useCallback(
    (change: Partial<UsersView>, { replace = false } = {}) =>
      setParams((now) => writeView(now, { ...readView(now), ...change }), { replace }),
    [setParams],
  );

  const open = useCallback(
    (clerkId: string) => setParams((now) => withUser(now, clerkId), { state: OPENED_HERE }),
    [setParams],
  );

  // Back to the list where the details were opened from it, so that the back button does not open them again.
  const close = useCallback(() => {
    if ((history.state as typeof OPENED_HERE | null)?.opened === "here") return history.back();
    setParams((now) => withUser(now, null), { replace: true });
  }, [setParams]);

  return { view, setView, userId: params.get("user"), open, close };
}

function withUser(params: URLSearchParams, clerkId: string | null): URLSearchParams {
  const changed = new URLSearchParams(params);
  if (clerkId === null) changed.delete("user");
  else changed.set("user", clerkId);
  return changed;
}
