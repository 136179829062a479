import type { ReactNode } from "react";
import { useFormats, useMessages } from "../messages/messages.ts";
import { StatusShape } from "../ui/Status.tsx";
import { STATUSES } from "../ui/statuses.ts";
import { SearchBox } from "./SearchBox.tsx";
import { SortSelect } from "./SortSelect.tsx";
import type { Counts, UsersView } from "./usersView.ts";

type Props = {
  view: UsersView;
  onChange: (change: Partial<UsersView>, options?: { replace: boolean }) => void;
  counts: Counts | undefined;
  end?: ReactNode;
};

export function Filters({ view, onChange, counts, end }: Props) {
  const { filters, ui } = useMessages();
  return (
    <div className="toolbar" role="search" aria-label={filters.label}>
      <SearchBox search={view.search} onSearch={(search) => onChange({ search }, { replace: true })} />
      <div className="segments" role="group" aria-label={filters.status}>
        <Segment
          label={filters.all}
          count={counts?.total}
          isOn={view.status === null}
          onPick={() => onChange({ status: null })}
        />
        {STATUSES.map((status) => (
          <Segment
            key={status}
            label={ui[status]}
            shape={<StatusShape status={status} />}
            count={counts?.[status]}
            isOn={view.status === status}
            onPick={() => onChange({ status })}
          />
        ))}
      </div>
      <SortSelect
        sort={view.sort}
        isDisabled={view.search.trim() !== ""}
        onSort={(sort) => onChange({ sort })}
      />
      {end}
    </div>
  );
}

type SegmentProps = {
  label: string;
  shape?: ReactNode;
  count: number | undefined;
  isOn: boolean;
  onPick: () => void;
};

function Segment({ label, shape, count, isOn, onPick }: SegmentProps) {
  const { number } = useFormats();
  return (
    <button className="segment" type="button" aria-pressed={isOn} onClick={() => !isOn && onPick()}>
      {shape}
      {label} <span className="segment-count">{count === undefined ? "" : number(count)}</span>
    </button>
  );
}
