import { useMemo, useRef, type MouseEvent, type ReactNode } from "react";
import { useOptions } from "../admin/options.ts";
import { useAdminAnswer } from "../data/useAnswer.ts";
import { useFunctions } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { useRouter } from "../router/router.tsx";
import { focusNear, focusSearch } from "../ui/focus.ts";
import { Icon } from "../ui/Icon.tsx";
import { useLayout } from "../ui/useLayout.ts";
import { displayName } from "../users/displayName.ts";
import { EVERYTHING, OUTCOMES, startOf, type AuditView } from "./auditView.ts";
import { actionText } from "./entryText.ts";
import { PersonFilter } from "./PersonFilter.tsx";

type Props = { view: AuditView; onChange: (change: Partial<AuditView>) => void };

export function AuditFilters({ view, onChange }: Props) {
  const { audit } = useMessages();
  const actions = Object.keys(audit.actions);
  // An action that has no words here can be in the URL.
  if (view.action !== null && !actions.includes(view.action)) actions.push(view.action);
  return (
    <>
      <div className="toolbar audit-toolbar" role="search" aria-label={audit.title}>
        <PersonFilter
          label={audit.filterUser}
          placeholder={audit.anyone}
          onPick={(clerkId) => onChange({ clerkId })}
        />
        <PersonFilter
          label={audit.filterActor}
          placeholder={audit.anyAdmin}
          onPick={(actor) => onChange({ actor })}
        />
        <select
          className="filter-select"
          aria-label={audit.action}
          value={view.action ?? ""}
          onChange={(event) => onChange({ action: event.target.value || null })}
        >
          <option value="">{audit.everyAction}</option>
          {actions.map((action) => (
            <option key={action} value={action}>
              {actionText(action, audit)}
            </option>
          ))}
        </select>
        <select
          className="filter-select"
          aria-label={audit.outcome}
          value={view.outcome ?? ""}
          onChange={(event) =>
            onChange({ outcome: OUTCOMES.find((outcome) => outcome === event.target.value) ?? null })
          }
        >
          <option value="">{audit.everyOutcome}</option>
          {OUTCOMES.map((outcome) => (
            <option key={outcome} value={outcome}>
              {audit.outcomes[outcome]}
            </option>
          ))}
        </select>
        <Day label={audit.from} day={view.from} onPick={(from) => onChange({ from })} />
        <Day label={audit.until} day={view.until} onPick={(until) => onChange({ until })} />
      </div>
      <Chips view={view} onChange={onChange} />
    </>
  );
}

// A day of the viewer. While its date is typed it is no day, and nothing changes.
function Day({ label, day, onPick }: { label: string; day: string | null; onPick: (day: string | null) => void }) {
  const input = useRef<HTMLInputElement>(null);
  useLayout(() => {
    if (input.current !== null && input.current.value !== (day ?? "")) input.current.value = day ?? "";
  }, [day]);
  return (
    <label className="day-filter">
      <span>{label}</span>
      <input
        ref={input}
        type="date"
        defaultValue={day ?? ""}
        max="9999-12-31"
        onChange={({ target: { value, validity } }) => {
          // A typed year comes digit by digit: 0002, 0020, 0202, 2026.
          const isDay = value >= "1970";
          if (isDay || (value === "" && !validity.badInput)) onPick(value || null);
        }}
      />
    </label>
  );
}

// The filters that are on.
function Chips({ view, onChange }: Props) {
  const { audit } = useMessages();
  const { paths } = useOptions();
  const { Link } = useRouter();
  const formats = useFormats();
  const dayOf = (day: string) => formats.date(startOf(day)!);
  const chips: [name: keyof AuditView, text: ReactNode][] = [];
  if (view.clerkId !== null) chips.push(["clerkId", audit.chipUser(<Name key="name" clerkId={view.clerkId} />)]);
  if (view.actor !== null) chips.push(["actor", audit.chipActor(<Name key="name" clerkId={view.actor} />)]);
  if (view.action !== null) chips.push(["action", actionText(view.action, audit)]);
  if (view.outcome !== null) chips.push(["outcome", audit.outcomes[view.outcome]]);
  if (view.from !== null) chips.push(["from", audit.chipFrom(dayOf(view.from))]);
  if (view.until !== null) chips.push(["until", audit.chipUntil(dayOf(view.until))]);
  if (chips.length === 0) return null;

  const remove = ({ currentTarget }: MouseEvent<HTMLElement>, change: Partial<AuditView>) => {
    focusNear(currentTarget, () => focusSearch(currentTarget));
    onChange(change);
  };
  return (
    <div className="chips" role="group" aria-label={audit.filters}>
      {chips.map(([name, text]) => (
        <button
          key={name}
          className="chip"
          type="button"
          title={audit.remove}
          onClick={(event) => remove(event, { [name]: null })}
        >
          <span className="visually-hidden">{audit.remove}: </span>
          <span className="truncate">{text}</span>
          <Icon size={12}>
            <path d="m4 4 8 8m0-8-8 8" />
          </Icon>
        </button>
      ))}
      {view.clerkId !== null && paths.users !== null && (
        <Link className="button" href={`${paths.users}?user=${encodeURIComponent(view.clerkId)}`}>
          {audit.showUser}
        </Link>
      )}
      <button className="button" type="button" onClick={(event) => remove(event, EVERYTHING)}>
        {audit.clear}
      </button>
    </div>
  );
}

// The name of a user, or the id of one who is gone.
function Name({ clerkId }: { clerkId: string }) {
  const { getUser } = useFunctions();
  const { value } = useAdminAnswer(
    getUser,
    useMemo(() => ({ clerkId }), [clerkId]),
  );
  return value ? <bdi>{displayName(value)}</bdi> : <code>{clerkId}</code>;
}
