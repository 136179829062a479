// Keeps the page's state in the URL.
import { useCallback, useMemo } from "react";
import { useQueryParams } from "../router/router.tsx";
import { readView, writeView, type AuditView } from "./auditView.ts";

export function useAuditUrl() {
  const [params, setParams] = useQueryParams();
  const view = useMemo(() => readView(params), [params]);
  const setView = useCallback(
    (change: Partial<AuditView>) => setParams((now) => writeView(now, { ...readView(now), ...change })),
    [setParams],
  );
  return { view, setView };
}
