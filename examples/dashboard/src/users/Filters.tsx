import { useEffect, useEffectEvent, useRef, useState } from "react";
import type { Stats } from "../functions.ts";
import { StatusShape } from "../ui/Status.tsx";
import { useSlashKey } from "../ui/useSlashKey.ts";
import { STATUSES, SORTS, naturalOrder, type Sort, type UsersView } from "./usersView.ts";

const DEBOUNCE_MS = 150;
const LONGEST_SEARCH = 200;

const number = new Intl.NumberFormat();

type Props = {
  view: UsersView;
  onChange: (change: Partial<UsersView>, options?: { replace: boolean }) => void;
  counts: Pick<Stats, "total" | "active" | "banned" | "locked"> | undefined;
};

export function Filters({ view, onChange, counts }: Props) {
  return (
    <div className="toolbar" role="search" aria-label="Users">
      <SearchBox search={view.search} onSearch={(search) => onChange({ search }, { replace: true })} />
      <div className="segments" role="group" aria-label="Status">
        <Segment label="All" count={counts?.total} isOn={view.status === null} onPick={() => onChange({ status: null })} />
        {STATUSES.map((status) => (
          <Segment
            key={status}
            label={LABELS[status]}
            shape={<StatusShape status={status} />}
            count={counts?.[status]}
            isOn={view.status === status}
            onPick={() => onChange({ status })}
          />
        ))}
      </div>
      <SortSelect sort={view.sort} isDisabled={view.search.trim() !== ""} onSort={(sort) => onChange({ sort })} />
    </div>
  );
}

const LABELS = { active: "Active", banned: "Banned", locked: "Locked" };

type SegmentProps = {
  label: string;
  shape?: React.ReactNode;
  count: number | undefined;
  isOn: boolean;
  onPick: () => void;
};

function Segment({ label, shape, count, isOn, onPick }: SegmentProps) {
  return (
    <button className="segment" type="button" aria-pressed={isOn} onClick={() => !isOn && onPick()}>
      {shape}
      {label} <span className="segment-count">{count === undefined ? "" : number.format(count)}</span>
    </button>
  );
}

function SearchBox({ search, onSearch }: { search: string; onSearch: (search: string) => void }) {
  const [text, setText] = useState(search);
  const [known, setKnown] = useState(search);
  const input = useRef<HTMLInputElement>(null);
  useSlashKey(input);

  // Another search than the one that was typed here: the back button, or "clear filters".
  if (search !== known) {
    setKnown(search);
    setText(search);
  }

  const send = useEffectEvent(onSearch);
  useEffect(() => {
    if (text === search) return;
    const timer = setTimeout(() => send(text), DEBOUNCE_MS);
    return () => clearTimeout(timer);
  }, [text, search]);

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.nativeEvent.isComposing || event.key !== "Escape") return;
    event.preventDefault();
    if (text === "") input.current?.blur();
    setText("");
    if (search !== "") onSearch("");
  };

  return (
    <div className="search">
      <svg viewBox="0 0 16 16" width="14" height="14" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
        <circle cx="7" cy="7" r="4.25" />
        <path d="m10.25 10.25 3.25 3.25" strokeLinecap="round" />
      </svg>
      <input
        ref={input}
        type="search"
        aria-label="Search users"
        aria-keyshortcuts="/"
        placeholder="Search name, email, phone or id"
        autoComplete="off"
        spellCheck={false}
        dir="auto"
        maxLength={LONGEST_SEARCH}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <kbd aria-hidden="true">/</kbd>
    </div>
  );
}

const SORT_LABELS = {
  name: { asc: "Name, A to Z", desc: "Name, Z to A" },
  email: { asc: "Email, A to Z", desc: "Email, Z to A" },
  createdAt: { desc: "Newest first", asc: "Oldest first" },
  lastSignInAt: { desc: "Last sign-in, latest first", asc: "Last sign-in, longest ago first" },
};

// Where there is no room for columns, and so none for their headers.
function SortSelect({ sort, isDisabled, onSort }: { sort: Sort; isDisabled: boolean; onSort: (sort: Sort) => void }) {
  const sorts = SORTS.flatMap((by) => [naturalOrder(by), naturalOrder(by) === "asc" ? "desc" : "asc"].map((order) => ({ by, order }) as Sort));
  const index = sorts.findIndex(({ by, order }) => by === sort.by && order === sort.order);
  return (
    <select
      className="sort-select"
      aria-label="Sort"
      disabled={isDisabled}
      value={isDisabled ? "relevance" : index}
      onChange={(event) => onSort(sorts[Number(event.target.value)]!)}
    >
      {isDisabled && <option value="relevance">Best match first</option>}
      {sorts.map(({ by, order }, position) => (
        <option key={position} value={position}>
          {SORT_LABELS[by][order]}
        </option>
      ))}
    </select>
  );
}
