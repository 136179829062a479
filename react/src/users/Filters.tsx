import { useRef, type ReactNode } from "react";
import { useFormats, useMessages } from "../messages/messages.ts";
import { StatusShape } from "../ui/Status.tsx";
import { STATUSES } from "../ui/statuses.ts";
import { CsvButton, CsvProgress } from "./CsvExport.tsx";
import { FilterButton } from "./FilterButton.tsx";
import { FilterChips } from "./FilterChips.tsx";
import { Found } from "./Found.tsx";
import { SearchBox } from "./SearchBox.tsx";
import { SortSelect } from "./SortSelect.tsx";
import { totalOf, type Count, type Counts } from "./useCounts.ts";
import type { Csv } from "./useCsv.ts";
import type { UsersView } from "./usersView.ts";

export type ChangeView = (change: Partial<UsersView>, options?: { replace: boolean }) => void;

type Props = {
  view: UsersView;
  onChange: ChangeView;
  counts: Counts | undefined;
  countsKey?: string; // which counts belong to the view
  csv?: Csv & { onStart: () => void };
  end?: ReactNode;
};

export function Filters({ view, onChange, counts, countsKey = "", csv, end }: Props) {
  const { filters, ui } = useMessages();
  const button = useRef<HTMLButtonElement>(null);
  return (
    <div className="filters" role="search" aria-label={filters.label}>
      <div className="toolbar">
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
        <FilterButton anchor={button} view={view} onChange={onChange} />
        <CsvButton isRunning={csv?.state?.is === "running"} onStart={() => csv?.onStart()} />
        {end}
      </div>
      <FilterChips view={view} onChange={onChange} button={button} />
      {csv && <CsvProgress csv={csv} total={totalOf(counts, view.status ?? undefined)} onRetry={csv.onStart} />}
      <Found view={view} counts={counts?.key === countsKey ? counts : undefined} countsKey={countsKey} />
    </div>
  );
}

type SegmentProps = {
  label: string;
  shape?: ReactNode;
  count: Count | undefined;
  isOn: boolean;
  onPick: () => void;
};

function Segment({ label, shape, count, isOn, onPick }: SegmentProps) {
  return (
    <button className="segment" type="button" aria-pressed={isOn} onClick={() => !isOn && onPick()}>
      {shape}
      {label} <span className="segment-count">{count !== undefined && <CountText {...count} />}</span>
    </button>
  );
}

function CountText({ count, isMore }: Count) {
  const { filters } = useMessages();
  const { number } = useFormats();
  if (!isMore) return number(count);
  return (
    <>
      <span aria-hidden="true">{filters.more(number(count))}</span>
      <span className="visually-hidden">{filters.atLeast(count, number(count))}</span>
    </>
  );
}
