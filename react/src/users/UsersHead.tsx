import type { ReactNode } from "react";
import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { naturalOrder, type Sort, type SortKey, type UsersView } from "./usersView.ts";

type HeadProps = Props & { hasActions: boolean; selectAll?: ReactNode };
type Props = { view: UsersView; onSort: (sort: Sort) => void };

export function UsersHead({ view, onSort, hasActions, selectAll }: HeadProps) {
  const { columns } = useOptions();
  const { users } = useMessages();
  return (
    <thead role="rowgroup">
      <tr role="row" aria-rowindex={1}>
        {hasActions && (
          <th role="columnheader" scope="col" className="col-check">
            {selectAll ?? <span className="visually-hidden">{users.selection}</span>}
          </th>
        )}
        <SortHeader by="name" label={users.name} view={view} onSort={onSort} />
        <SortHeader by="email" label={users.email} view={view} onSort={onSort} />
        <th role="columnheader" scope="col" className="col-status">
          {users.status}
        </th>
        <th role="columnheader" scope="col" className="col-role">
          {users.role}
        </th>
        <SortHeader by="createdAt" label={users.joined} view={view} onSort={onSort} />
        <SortHeader by="lastSignInAt" label={users.lastSignIn} view={view} onSort={onSort} />
        {columns.map(({ name, label = name, width }) => (
          <th key={name} role="columnheader" scope="col" className="col-own" style={{ width }}>
            {label}
          </th>
        ))}
        {hasActions && (
          <th role="columnheader" scope="col" className="col-actions">
            <span className="visually-hidden">{users.actions}</span>
          </th>
        )}
      </tr>
    </thead>
  );
}

type HeaderProps = Props & { by: SortKey; label: string };

function SortHeader({ by, label, view, onSort }: HeaderProps) {
  const { users } = useMessages();
  const isSearch = view.search.trim() !== ""; // a search is sorted by relevance, so the chosen order is not used
  const isSorted = !isSearch && view.sort.by === by;
  return (
    <th
      role="columnheader"
      scope="col"
      className={`col-${by}`}
      aria-sort={isSorted ? (view.sort.order === "asc" ? "ascending" : "descending") : undefined}
    >
      <button
        className="sort"
        type="button"
        disabled={isSearch}
        title={isSearch ? users.bestFirst : undefined}
        onClick={() => onSort(nextSort(by, view.sort))}
      >
        {label}
        <svg className="sort-arrow" viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
          <path d="M5 8.5v-7M2 4.5l3-3 3 3" fill="none" stroke="currentColor" strokeWidth="1.5" />
        </svg>
      </button>
    </th>
  );
}

function nextSort(by: SortKey, sort: Sort): Sort {
  if (sort.by !== by) return { by, order: naturalOrder(by) };
  return { by, order: sort.order === "asc" ? "desc" : "asc" };
}
