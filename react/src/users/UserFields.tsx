import type { ReactNode } from "react";
import { useOptions } from "../admin/options.ts";
import type { UserSheet } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { CopyButton } from "../ui/CopyButton.tsx";
import { prettyJson } from "../ui/prettyJson.ts";
import { ExactTime, Time } from "../ui/Time.tsx";
import { displayName } from "./displayName.ts";
import type { Manage } from "./manage.ts";
import { OwnColumn, textOf } from "./OwnColumn.tsx";
import { UserStatus } from "./UserStatus.tsx";

// The columns with a place of their own below. All others are the team's own columns.
const KNOWN = new Set<string>([
  "_id",
  "_creationTime",
  "clerkId",
  "externalId",
  "firstName",
  "lastName",
  "username",
  "email",
  "emailVerified",
  "phone",
  "imageUrl",
  "role",
  "status",
  "publicMetadata",
  "createdAt",
  "lastSignInAt",
  "lockedUntil",
  "updatedAt",
  "observedAt",
] satisfies (keyof UserSheet)[]);

// Shows all columns that Convex has of a user.
export function UserFields({ user, manage }: { user: UserSheet; manage: Manage | undefined }) {
  const { columns } = useOptions();
  const { sheet } = useMessages();
  const name = displayName(user);
  const own = Object.entries(user).filter(
    ([column]) => !KNOWN.has(column) && !columns.some(({ name }) => name === column),
  );
  return (
    <>
      <header className="sheet-head">
        <Avatar seed={user.clerkId} name={name} src={user.imageUrl} size="large" />
        <div className="user-text">
          <h2 className="truncate" dir="auto" title={name}>
            {name}
          </h2>
          <UserStatus user={user} manage={manage} />
        </div>
      </header>
      {manage !== undefined && <manage.UserActions user={user} />}
      <dl>
        <Field label={sheet.email} text={user.email} copies>
          {user.emailVerified === false && <span className="unverified">{sheet.unverified}</span>}
        </Field>
        <Field label={sheet.phone} text={user.phone} copies />
        <Field label={sheet.username} text={user.username} copies />
        <Field label={sheet.firstName} text={user.firstName} />
        <Field label={sheet.lastName} text={user.lastName} />
        <Field label={sheet.role} text={user.role} />
        {user.lockedUntil !== undefined && <TimeField label={sheet.lockedUntil} value={user.lockedUntil} />}
        <TimeField label={sheet.joined} value={user.createdAt} />
        <TimeField label={sheet.lastSignIn} value={user.lastSignInAt} missing={sheet.never} />
        <Field label={sheet.clerkId} text={user.clerkId} copies isCode />
        <Field label={sheet.externalId} text={user.externalId} copies isCode />
        <Field label={sheet.convexId} text={user._id} copies isCode />
        {columns.map((column) => (
          <div key={column.name} className="field">
            <dt>{column.label ?? column.name}</dt>
            <dd>
              <OwnColumn column={column} user={user} />
            </dd>
          </div>
        ))}
        {own.map(([column, value]) => (
          <Field key={column} label={column} text={textOf(value)} />
        ))}
      </dl>
      <section className="metadata">
        <div className="metadata-head">
          <h3>{sheet.metadata}</h3>
          {user.publicMetadata !== undefined && (
            <CopyButton text={user.publicMetadata} label={sheet.metadata} />
          )}
        </div>
        {user.publicMetadata === undefined ? (
          <p className="muted">{sheet.none}</p>
        ) : (
          <pre dir="ltr" tabIndex={0} role="region" aria-label={sheet.metadata}>
            <code>{prettyJson(user.publicMetadata)}</code>
          </pre>
        )}
        {manage !== undefined && <manage.EditMetadata user={user} />}
      </section>
      {manage !== undefined && <manage.Addresses user={user} />}
      {manage !== undefined && <manage.Sessions user={user} />}
    </>
  );
}

type FieldProps = {
  label: string;
  text: string | undefined;
  copies?: boolean;
  isCode?: boolean;
  children?: ReactNode;
};

function Field({ label, text, copies = false, isCode = false, children }: FieldProps) {
  const { sheet } = useMessages();
  return (
    <div className="field">
      <dt>{label}</dt>
      <dd>
        {text === undefined ? (
          <span className="muted">{sheet.none}</span>
        ) : (
          <span className={isCode ? "field-text is-code" : "field-text"} dir="auto" title={text}>
            {text}
          </span>
        )}
        {children}
        {copies && text !== undefined && <CopyButton text={text} label={label} />}
      </dd>
    </div>
  );
}

type TimeProps = { label: string; value: number | undefined; missing?: string; children?: ReactNode };

export function TimeField({ label, value, missing, children }: TimeProps) {
  return (
    <div className="field">
      <dt>{label}</dt>
      <dd>
        {value === undefined ? (
          <span className="muted">{missing}</span>
        ) : (
          <span className="field-time">
            <ExactTime value={value} />
            <span className="muted">
              <Time value={value} />
              {children !== undefined && <> · {children}</>}
            </span>
          </span>
        )}
      </dd>
    </div>
  );
}
