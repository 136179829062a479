// Keeps the page's state in the URL.
import { useCallback, useMemo, useRef } from "react";
import { useQueryParams } from "../router/router.tsx";
import { useLatest } from "../ui/useLayout.ts";
import { readView, writeView, type UsersView } from "./usersView.ts";

export function useUsersUrl() {
  const [params, setParams] = useQueryParams();
  const view = useMemo(() => readView(params), [params]);
  const openedHere = useRef(false);

  // The back button undoes a choice. Typing adds no entries to the history.
  const setView = useCallback(
    (change: Partial<UsersView>, { replace = false } = {}) =>
      setParams((now) => writeView(now, { ...readView(now), ...change }), { replace }),
    [setParams],
  );

  const open = useCallback(
    (clerkId: string) => {
      openedHere.current = true;
      setParams((now) => withUser(now, clerkId));
    },
    [setParams],
  );

  // Replaces the user whose details are open. The back button goes to the list.
  const show = useCallback(
    (clerkId: string) => setParams((now) => withUser(now, clerkId), { replace: true }),
    [setParams],
  );

  // If the details were opened from the list, go back to it, so that the back button does not open them again.
  const close = useLatest(() => {
    if (openedHere.current) history.back();
    else setParams((now) => withUser(now, null), { replace: true });
    openedHere.current = false;
  });

  return { view, setView, userId: params.get("user"), open, show, close };
}

function withUser(params: URLSearchParams, clerkId: string | null): URLSearchParams {
  const changed = new URLSearchParams(params);
  if (clerkId === null) changed.delete("user");
  else changed.set("user", clerkId);
  return changed;
}
