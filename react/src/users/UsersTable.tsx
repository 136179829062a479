import { useEffect, useMemo } from "react";
import { useOptions } from "../admin/options.ts";
import { usePages } from "../data/usePages.ts";
import { useFunctions, type UsersArgs, type UserSummary } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import type { Formats } from "../messages/formats.ts";
import type { Messages } from "../messages/messages.ts";
import { LoadMore } from "../ui/LoadMore.tsx";
import { onRowClick, onRowKeyDown } from "../ui/rows.ts";
import { SkeletonRows } from "../ui/Skeleton.tsx";
import { userCells } from "./cells.ts";
import { NoMatch, NoUsers } from "./Empty.tsx";
import type { Manage } from "./manage.ts";
import { UserRow } from "./UserRow.tsx";
import { UsersHead } from "./UsersHead.tsx";
import { totalOf, type Counts } from "./useCounts.ts";
import { argsOf, EVERYONE, SEARCH_LIMIT, type UsersView } from "./usersView.ts";

type Props = {
  view: UsersView;
  onChange: (change: Partial<UsersView>) => void;
  onOpen: (clerkId: string) => void;
  onRows: (rows: readonly UserSummary[]) => void;
  counts: Counts | undefined;
  today: number; // the beginning of the viewer's day
  manage?: Manage;
};

export function UsersTable({ view, onChange, onOpen, onRows, counts, today, manage }: Props) {
  const { getUsers } = useFunctions();
  const { columns } = useOptions();
  const messages = useMessages();
  const formats = useFormats();
  const { list } = messages;
  const wanted = JSON.stringify(argsOf(view, today));
  const args = useMemo(() => JSON.parse(wanted) as UsersArgs, [wanted]);
  const {
    rows,
    args: shown,
    arrived,
    isLoading,
    isStale,
    isLoadingMore,
    loadMore,
  } = usePages(getUsers, args);
  useEffect(() => onRows(rows), [rows, onRows]);

  if (!isLoading && rows.length === 0) {
    const isFiltered = [shown.search, shown.status, shown.filter].some((it) => it !== undefined);
    const clear = () => onChange(EVERYONE);
    return (
      <div className="table-frame" aria-busy={isStale}>
        {isFiltered ? <NoMatch {...shown} onClear={clear} /> : <NoUsers />}
      </div>
    );
  }

  const total = totalOf(counts, shown.status);
  return (
    <div className="table-frame">
      <table className="table users-table" role="table" aria-label={list.users} aria-busy={isLoading || isStale}>
        <UsersHead
          view={view}
          onSort={(sort) => onChange({ sort })}
          hasActions={manage !== undefined}
          selectAll={manage && <manage.SelectAll />}
        />
        {isLoading ? (
          <SkeletonRows cells={userCells(columns.length, manage !== undefined)} />
        ) : (
          <tbody
            role="rowgroup"
            onClick={(event) => onRowClick(event, (row) => onOpen(row.dataset.clerkId!))}
            onKeyDown={onRowKeyDown}
          >
            {rows.map((user) => (
              <UserRow key={user.clerkId} user={user} isNew={arrived.has(user._id)} manage={manage} />
            ))}
          </tbody>
        )}
      </table>
      {!isLoading && (
        <LoadMore isLoading={isLoadingMore} onLoad={isStale ? null : loadMore}>
          {summary(messages, formats, { shown: rows.length, isSearch: shown.search !== undefined, total })}
        </LoadMore>
      )}
      {manage !== undefined && <manage.SelectionBar rows={rows} args={shown} total={total} hasMore={loadMore !== null || isLoadingMore} />}
    </div>
  );
}

function summary(
  { list }: Messages,
  { number }: Formats,
  { shown, isSearch, total }: { shown: number; isSearch: boolean; total: number | undefined },
): string {
  if (!isSearch) {
    const isCounted = total !== undefined && total >= shown;
    return isCounted ? list.shownOf(number(shown), number(total)) : number(shown);
  }
  return shown >= SEARCH_LIMIT ? list.bestMatches(SEARCH_LIMIT) : list.matches(shown);
}
