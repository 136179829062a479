import { useMemo } from "react";
import { usePages } from "../data/usePages.ts";
import { useFunctions } from "../functions.ts";
import { useFormats } from "../messages/messages.ts";
import { LoadMore } from "../ui/LoadMore.tsx";
import { SkeletonRows } from "../ui/Skeleton.tsx";
import { AuditHead } from "./AuditHead.tsx";
import { AuditRow } from "./AuditRow.tsx";
import type { AuditView } from "./auditView.ts";
import { AUDIT_CELLS } from "./cells.ts";

type Props = { view: AuditView; onChange: (change: Partial<AuditView>) => void };

export function AuditTable({ view, onChange }: Props) {
  const { number } = useFormats();
  const { auditLog } = useFunctions();
  const args = useMemo(
    () => ({
      ...(view.clerkId === null ? {} : { clerkId: view.clerkId }),
      ...(view.outcome === null ? {} : { outcome: view.outcome }),
    }),
    [view.clerkId, view.outcome],
  );
  const {
    rows,
    args: shown,
    arrived,
    isLoading,
    isStale,
    isLoadingMore,
    loadMore,
  } = usePages(auditLog, args);

  if (!isLoading && rows.length === 0) {
    const isFiltered = shown.clerkId !== undefined || shown.outcome !== undefined;
    return (
      <div className="table-frame" aria-busy={isStale}>
        <div className="notice">
          <h2>{isFiltered ? "No match" : "Nothing has happened yet"}</h2>
          <p>
            {isFiltered
              ? "There is no entry with this user and this outcome."
              : "Every change that Clerk’s webhook or a backfill brings, and all that administrators do, is listed here."}
          </p>
          {isFiltered && (
            <button
              className="button"
              type="button"
              onClick={() => onChange({ clerkId: null, outcome: null })}
            >
              Clear filters
            </button>
          )}
        </div>
      </div>
    );
  }

  return (
    <div className="table-frame">
      <table
        className="table audit-table"
        role="table"
        aria-label="Audit log"
        aria-busy={isLoading || isStale}
      >
        <AuditHead />
        {isLoading ? (
          <SkeletonRows cells={AUDIT_CELLS} />
        ) : (
          <tbody role="rowgroup">
            {rows.map((entry) => (
              <AuditRow key={entry._id} entry={entry} isNew={arrived.has(entry._id)} />
            ))}
          </tbody>
        )}
      </table>
      {!isLoading && (
        <LoadMore isLoading={isLoadingMore} onLoad={isStale ? null : loadMore}>
          {rows.length === 1 ? "1 entry" : `${number(rows.length)} entries, newest first`}
        </LoadMore>
      )}
    </div>
  );
}
