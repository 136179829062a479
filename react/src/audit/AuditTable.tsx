import { useMemo, useState } from "react";
import { usePages } from "../data/usePages.ts";
import { useFunctions } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { ClearFilters } from "../ui/ClearFilters.tsx";
import { LoadMore } from "../ui/LoadMore.tsx";
import { SkeletonRows } from "../ui/Skeleton.tsx";
import { AuditHead } from "./AuditHead.tsx";
import { AuditRow } from "./AuditRow.tsx";
import { EVERYTHING, filterOf, type AuditView } from "./auditView.ts";
import { AUDIT_CELLS } from "./cells.ts";

const LOOKED = 10; // pages that are looked through for a few entries before somebody is asked to go on

type Props = { view: AuditView; onChange: (change: Partial<AuditView>) => void };

export function AuditTable({ view, onChange }: Props) {
  const { audit } = useMessages();
  const { number } = useFormats();
  const { auditLog } = useFunctions();
  const args = useMemo(() => filterOf(view), [view]);
  const pages = usePages(auditLog, args, LOOKED);
  const { rows, args: shown, arrived, isLoading, isStale, isLoadingMore, loadMore } = pages;
  const isFiltered = Object.keys(shown).length > 0;
  const isLooking = isLoading && isFiltered && isLoadingMore;

  // Read out once for each choice of filters, and not with every new entry.
  const [told, setTold] = useState({ args: shown, text: "" });
  if (!isLoading && !isStale && told.args !== shown) {
    setTold({ args: shown, text: audit.found(rows.length, number(rows.length), loadMore !== null) });
  }

  return (
    <>
      <p className="visually-hidden" role="status">
        {isLooking ? audit.looking : told.text}
      </p>
      {!isLoading && rows.length === 0 ? (
        <div className="table-frame" tabIndex={-1} aria-busy={isStale}>
          <NoEntry isFiltered={isFiltered} onMore={loadMore} onClear={() => onChange(EVERYTHING)} />
        </div>
      ) : (
        <div className="table-frame" tabIndex={-1}>
          <table
            className="table audit-table"
            role="table"
            aria-label={audit.title}
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
          {isLooking && (
            <div className="load-more">
              <span className="muted">{audit.looking}</span>
            </div>
          )}
          {!isLoading && (
            <LoadMore isLoading={isLoadingMore} onLoad={isStale ? null : loadMore}>
              {audit.entries(rows.length, number(rows.length))}
            </LoadMore>
          )}
        </div>
      )}
    </>
  );
}

type NoEntryProps = { isFiltered: boolean; onMore: (() => void) | null; onClear: () => void };

function NoEntry({ isFiltered, onMore, onClear }: NoEntryProps) {
  const { audit } = useMessages();
  const isMore = onMore !== null;
  return (
    <div className="notice">
      <h2>{!isFiltered ? audit.nothing : isMore ? audit.notYet : audit.noMatch}</h2>
      <p>{!isFiltered ? audit.nothingText : isMore ? audit.notYetText : audit.noMatchText}</p>
      <div className="buttons">
        {isMore && (
          <button
            className="button"
            type="button"
            onClick={(event) => {
              event.currentTarget.closest<HTMLElement>(".table-frame")?.focus();
              onMore();
            }}
          >
            {audit.lookFurther}
          </button>
        )}
        {isFiltered && (
          <ClearFilters onClear={onClear}>{audit.clear}</ClearFilters>
        )}
      </div>
    </div>
  );
}
