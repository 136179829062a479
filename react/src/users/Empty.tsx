import type { UserStatus } from "../functions.ts";

export function NoUsers() {
  return (
    <div className="notice">
      <h2>Nobody yet</h2>
      <p>
        New users appear here within a moment, once Clerk’s webhook points at the service. Those who were
        there before come with a backfill:
      </p>
      <pre>
        <code>python -m clerk_convex.backfill</code>
      </pre>
    </div>
  );
}

type NoMatchProps = { search: string | undefined; status: UserStatus | undefined; onClear: () => void };

export function NoMatch({ search, status, onClear }: NoMatchProps) {
  const who = status === undefined ? "No user" : `No ${status} user`;
  return (
    <div className="notice">
      <h2>{search === undefined ? `${who}s` : "No match"}</h2>
      {search !== undefined && (
        <p>
          {who} has a name, email, phone number or id like “<bdi>{search}</bdi>”.
        </p>
      )}
      <button className="button" type="button" onClick={onClear}>
        Clear filters
      </button>
    </div>
  );
}
