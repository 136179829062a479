import type { UserSummary } from "../functions.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { displayName } from "../users/displayName.ts";

// Whom a dialog is about, so that nobody is mistaken for another of the same name.
export function Person({ user }: { user: UserSummary }) {
  const name = displayName(user);
  return (
    <div className="person user-cell">
      <Avatar seed={user.clerkId} name={name} src={user.imageUrl} />
      <div className="user-text">
        <span className="user-name truncate" dir="auto" title={name}>
          {name}
        </span>
        <span className="user-email truncate muted">{user.email ?? user.phone ?? user.clerkId}</span>
      </div>
    </div>
  );
}
