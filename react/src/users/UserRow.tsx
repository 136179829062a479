import { memo } from "react";
import { useOptions } from "../admin/options.ts";
import { useFlash } from "../data/useFlash.ts";
import type { UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Nothing } from "../ui/Nothing.tsx";
import { Time } from "../ui/Time.tsx";
import { displayName } from "./displayName.ts";
import type { Manage } from "./manage.ts";
import { OwnColumn } from "./OwnColumn.tsx";
import { Role } from "./Role.tsx";
import { UserStatus } from "./UserStatus.tsx";

// isGone: the user has left the list, and the row keeps its place for now.
type Props = { user: UserSummary; isNew: boolean; isGone?: boolean; manage?: Manage };

// A user who has not changed is the same object (see usePages), so only changed rows render again. The ARIA roles are
// those of a table; they are explicit because on narrow screens the rows are displayed as cards.
export const UserRow = memo(function UserRow({ user, isNew, isGone = false, manage }: Props) {
  const flash = useFlash(user);
  const { columns } = useOptions();
  const { list } = useMessages();
  const name = displayName(user);
  return (
    <tr
      role="row"
      className={isGone ? "is-gone" : undefined}
      data-clerk-id={isGone ? undefined : user.clerkId}
      data-new={isNew || undefined}
      data-flash={flash}
    >
      {manage !== undefined && (
        <td role="cell" className="col-check">
          {!isGone && <manage.Select user={user} />}
        </td>
      )}
      <td role="cell" className="col-user" colSpan={2}>
        <div className="user-cell">
          <Avatar seed={user.clerkId} name={name} src={user.imageUrl} />
          <div className="user-text">
            <a
              className="user-name truncate"
              href={isGone ? undefined : `?user=${encodeURIComponent(user.clerkId)}`}
              dir="auto"
              title={name}
            >
              {name}
            </a>
            {isGone ? (
              <span className="user-email truncate muted" title={list.gone}>
                {list.gone}
              </span>
            ) : (
              <UserAddress user={user} name={name} />
            )}
          </div>
        </div>
      </td>
      <td role="cell" className="col-status">
        {!isGone && <UserStatus user={user} manage={manage} />}
      </td>
      <td role="cell" className="col-role">
        {user.role === undefined ? (
          <Nothing />
        ) : (
          <Role role={user.role} />
        )}
      </td>
      <td role="cell" className="col-time col-joined">
        <span className="card-label">{list.joined} </span>
        <Time value={user.createdAt} />
      </td>
      <td role="cell" className="col-time col-sign-in">
        {user.lastSignInAt === undefined ? (
          <>
            {list.never}
            <span className="card-label"> {list.neverSignedIn}</span>
          </>
        ) : (
          <>
            <span className="card-label">{list.signedIn} </span>
            <Time value={user.lastSignInAt} />
          </>
        )}
      </td>
      {columns.map((column) => (
        <td key={column.name} role="cell" className="col-own">
          <OwnColumn column={column} user={user} />
        </td>
      ))}
      {manage !== undefined && (
        <td role="cell" className="col-actions">
          <manage.RowMenu user={user} isGone={isGone} />
        </td>
      )}
    </tr>
  );
});

function UserAddress({ user, name }: { user: UserSummary; name: string }) {
  const { list } = useMessages();
  if (user.email === undefined) {
    const hasPhone = user.phone !== undefined && user.phone !== name;
    return <span className="user-email truncate muted">{hasPhone ? user.phone : list.noEmail}</span>;
  }
  return (
    <span className="user-email muted">
      {user.email === name ? (
        list.noName
      ) : (
        <span className="truncate" title={user.email}>
          {user.email}
        </span>
      )}
      {user.emailVerified === false && <span className="unverified">{list.unverified}</span>}
    </span>
  );
}
