import { useEffect } from "react";
import type { GetToken } from "../auth/session.ts";
import { useLatest } from "../ui/useLayout.ts";
import { ensureUser } from "./ensureUser.ts";

// While `isMissing` is true, which is while `currentUser` says `not_synced`, asks the service at `url` to write the
// caller's own row. `url` is that of user_routes(), or null without a service: then the first webhook brings the row.
export function useEnsureUser(url: string | null, isMissing: boolean, getToken: GetToken): void {
  const latest = useLatest(getToken); // its identity may change with each render
  useEffect(() => {
    if (url === null || !isMissing) return;
    const stop = new AbortController();
    void ensureUser(url, latest, stop.signal);
    return () => stop.abort();
  }, [url, isMissing, latest]);
}
