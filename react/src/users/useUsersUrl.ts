// Keeps the page's state in the URL. An app with another router changes this file and no other in users/.
import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";
import { readView, writeView, type UsersView } from "./usersView.ts";

const OPENED_HERE = { opened: "here" };

export function useUsersUrl() {
  const [params, setParams] = useSearchParams();
  const view = useMemo(() => readView(params), [params]);

  // The back button undoes a choice. Typing adds no entries to the history.
  const setView = useCallback(
    (change: Partial<UsersView>, { replace = false } = {}) =>
      setParams((now) => writeView(now, { ...readView(now), ...change }), { replace }),
    [setParams],
  );

  const open = useCallback(
    (clerkId: string) => setParams((now) => withUser(now, clerkId), { state: OPENED_HERE }),
    [setParams],
  );

  // If the details were opened from the list, go back to it, so that the back button does not open them again.
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
