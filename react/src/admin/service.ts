import { useMemo } from "react";
import { useSession } from "../auth/session.ts";
import type { Service } from "../manage/calls.ts";

// Returns how the service is called, or null if the pages only read.
export function useService(api: string | null): Service | null {
  const { getToken } = useSession();
  return useMemo(
    () => (api === null || getToken === undefined ? null : { url: api.replace(/\/+$/, ""), getToken }),
    [api, getToken],
  );
}
