import { useEffect, useLayoutEffect, useRef } from "react";
import { ensureUser, type GetToken } from "./ensureUser.ts";

// While `isMissing` is true, which is while `currentUser` says `not_synced`, asks the service at `url` to write the
// caller's own row. `url` is that of user_routes(), or null without a service: then the first webhook brings the row.
export function useEnsureUser(url: string | null, isMissing: boolean, getToken: GetToken): void {
  const latest = useRef(getToken); // its identity may change with each render
  useLayoutEffect(() => {
    latest.current = getToken;
  }, [getToken]);
  useEffect(() => {
    if (url === null || !isMissing) return;
    const stop = new AbortController();
    void ensureUser(url, (options) => latest.current(options), stop.signal);
    return () => stop.abort();
  }, [url, isMissing]);
}
