import { useState, type FormEvent } from "react";
import { useOptions } from "../admin/options.ts";
import { useRouter } from "../router/router.tsx";
import { Icon } from "../ui/Icon.tsx";
import { OUTCOMES, OUTCOME_LABELS, type AuditView } from "./auditView.ts";

type Props = { view: AuditView; onChange: (change: Partial<AuditView>) => void };

export function AuditFilters({ view, onChange }: Props) {
  const { Link } = useRouter();
  const { paths } = useOptions();
  return (
    <div className="toolbar" role="search" aria-label="Audit log">
      <UserFilter key={view.clerkId} clerkId={view.clerkId} onPick={(clerkId) => onChange({ clerkId })} />
      <select
        className="outcome-select"
        aria-label="Outcome"
        value={view.outcome ?? ""}
        onChange={(event) =>
          onChange({ outcome: OUTCOMES.find((outcome) => outcome === event.target.value) ?? null })
        }
      >
        <option value="">Every outcome</option>
        {OUTCOMES.map((outcome) => (
          <option key={outcome} value={outcome}>
            {OUTCOME_LABELS[outcome]}
          </option>
        ))}
      </select>
      {view.clerkId !== null && paths.users !== null && (
        <Link className="button" href={`${paths.users}?user=${encodeURIComponent(view.clerkId)}`}>
          Show user
        </Link>
      )}
    </div>
  );
}

// Filters by a user id. A pasted id is used immediately, a typed id with Enter.
function UserFilter({
  clerkId,
  onPick,
}: {
  clerkId: string | null;
  onPick: (clerkId: string | null) => void;
}) {
  const [text, setText] = useState(clerkId ?? "");
  const pick = (id: string) => {
    const wanted = id.trim() || null;
    if (wanted !== clerkId) onPick(wanted);
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    pick(text);
  };
  return (
    <form className="search" onSubmit={onSubmit}>
      <Icon>
        <circle cx="8" cy="5.5" r="2.75" />
        <path d="M2.75 13.5a5.25 4.75 0 0 1 10.5 0" />
      </Icon>
      <input
        type="search"
        aria-label="User id"
        placeholder="Everyone. Paste a user id"
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          const { inputType } = event.nativeEvent as InputEvent;
          if (inputType === "insertFromPaste" || event.target.value === "") pick(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.preventDefault();
            setText("");
            pick("");
          }
        }}
        onBlur={() => pick(text)}
      />
    </form>
  );
}
