import { useState, type FormEvent, type ReactNode } from "react";
import { useMessages } from "../messages/messages.ts";
import { INVITATION_STATUSES, type InvitationsView } from "./invitationCalls.ts";
import { Icon } from "../ui/Icon.tsx";

type Props = { view: InvitationsView; onChange: (change: Partial<InvitationsView>) => void; end?: ReactNode };

export function InvitationFilters({ view, onChange, end }: Props) {
  const { invitations } = useMessages();
  return (
    <div className="toolbar" role="search" aria-label={invitations.label}>
      <Search key={view.search} search={view.search} onSearch={(search) => onChange({ search })} />
      <select
        className="filter-select"
        aria-label={invitations.status}
        value={view.status ?? ""}
        onChange={(event) =>
          onChange({ status: INVITATION_STATUSES.find((status) => status === event.target.value) ?? null })
        }
      >
        <option value="">{invitations.all}</option>
        {INVITATION_STATUSES.map((status) => (
          <option key={status} value={status}>
            {invitations.statuses[status]}
          </option>
        ))}
      </select>
      {end}
    </div>
  );
}

// Each search is a request to Clerk, so it is made with Enter and not while somebody types.
function Search({ search, onSearch }: { search: string; onSearch: (search: string) => void }) {
  const { invitations } = useMessages();
  const [text, setText] = useState(search);
  const find = (wanted: string) => {
    if (wanted.trim() !== search) onSearch(wanted.trim());
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    find(text);
  };
  return (
    <form className="search" onSubmit={onSubmit}>
      <Icon>
        <circle cx="7" cy="7" r="4.25" />
        <path d="m10.25 10.25 3.25 3.25" />
      </Icon>
      <input
        type="search"
        aria-label={invitations.search}
        placeholder={invitations.searchHint}
        autoComplete="off"
        spellCheck={false}
        dir="auto"
        maxLength={200}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          if (event.target.value === "") find("");
        }}
        onBlur={() => find(text)}
      />
    </form>
  );
}
