import type { UserSummary } from "../functions.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { displayName } from "../users/displayName.ts";

// Shows the user that a dialog is about, with enough details to tell users of the same name apart.
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
