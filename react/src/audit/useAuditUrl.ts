// Keeps the page's state in the URL. An app with another router changes this file and no other in audit/.
import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";
import { readView, writeView, type AuditView } from "./auditView.ts";

export function useAuditUrl() {
  const [params, setParams] = useSearchParams();
  const view = useMemo(() => readView(params), [params]);
  const setView = useCallback(
    (change: Partial<AuditView>) => setParams((now) => writeView({ ...readView(now), ...change })),
    [setParams],
  );
  return { view, setView };
}
