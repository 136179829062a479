import type { UsersArgs } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { ClearFilters } from "../ui/ClearFilters.tsx";

export function NoUsers() {
  const { users } = useMessages();
  return (
    <div className="notice">
      <h2>{users.nobodyYet}</h2>
      <p>{users.nobodyYetText}</p>
      <pre>
        <code>python -m clerk_convex.backfill</code>
      </pre>
    </div>
  );
}

type NoMatchProps = UsersArgs & { onClear: () => void };

export function NoMatch({ search, status, filter, onClear }: NoMatchProps) {
  const { users } = useMessages();
  const [before, after] = users.noUserLike(status);
  return (
    <div className="notice">
      <h2>{search === undefined && filter === undefined ? users.noUsers(status) : users.noMatch}</h2>
      {search !== undefined && (
        <p>
          {before}
          <bdi>{search}</bdi>
          {after}
        </p>
      )}
      {filter !== undefined && <p>{users.noUserPasses}</p>}
      <ClearFilters onClear={onClear}>{users.clearFilters}</ClearFilters>
    </div>
  );
}
