import type { ReactNode } from "react";
import { useMessages } from "../messages/messages.ts";
import { INVITATION_STATUSES, type InvitationsView } from "./invitationCalls.ts";
import { SearchField } from "../ui/SearchField.tsx";
import { useDraft } from "../ui/useDraft.ts";

type Props = { view: InvitationsView; onChange: (change: Partial<InvitationsView>) => void; end?: ReactNode };

export function InvitationFilters({ view, onChange, end }: Props) {
  const { invitations } = useMessages();
  return (
    <div className="toolbar" role="search" aria-label={invitations.label}>
      <Search search={view.search} onSearch={(search) => onChange({ search })} />
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
  const { setText, put, field } = useDraft(search, onSearch, null);
  return (
    <SearchField
      {...field}
      aria-label={invitations.search}
      enterKeyHint="search"
      placeholder={invitations.searchHint}
      onChange={({ target: { value } }) => (value === "" ? put(value) : setText(value))}
    />
  );
}
