import { version, type ReactNode } from "react";
import { useOptions } from "../admin/options.ts";
import { AuditFilters } from "../audit/AuditFilters.tsx";
import { AuditHead } from "../audit/AuditHead.tsx";
import { EVERYTHING } from "../audit/auditView.ts";
import { AUDIT_CELLS } from "../audit/cells.ts";
import { InvitationFilters } from "../invitations/InvitationFilters.tsx";
import { useMessages } from "../messages/messages.ts";
import { StatsPanel } from "../stats/StatsPanel.tsx";
import { LiveSign } from "../ui/Live.tsx";
import { SkeletonRows } from "../ui/Skeleton.tsx";
import { userCells } from "../users/cells.ts";
import { Filters } from "../users/Filters.tsx";
import { UsersHead } from "../users/UsersHead.tsx";
import { EVERYONE, NEWEST_FIRST } from "../users/usersView.ts";
import { Frame } from "./Frame.tsx";
import { Nav } from "./Nav.tsx";

// React 18 passes an attribute that it does not know as it is, and leaves out "true".
const INERT = { inert: version.startsWith("18.") ? "" : true } as { inert?: boolean };

const nothing = () => {};
const connecting = <LiveSign connection={{ state: "connecting" }} />;

export const PAGES = ["users", "audit", "invitations"] as const;
export type Page = (typeof PAGES)[number];

type Props = { page: Page; isManaged: boolean; live?: ReactNode; note?: ReactNode };

// The page without data. Its parts keep their places when the data arrive.
export function PageSkeleton({ page, isManaged, live = connecting, note }: Props): ReactNode {
  const { frame, ui } = useMessages();
  return (
    <Frame
      nav={<Nav isManaged={isManaged} />}
      end={
        <>
          {live}
          <span className="avatar is-small bone" />
        </>
      }
    >
      <h1 className="visually-hidden">{frame[page]}</h1>
      <div {...INERT} aria-busy="true">
        {page === "users" && <UsersSkeleton isManaged={isManaged} />}
        {page === "audit" && <AuditSkeleton />}
        {page === "invitations" && <InvitationFilters view={{ search: "", status: null }} onChange={nothing} />}
      </div>
      <p className="skeleton-note" role="status">
        {note ?? ui.waiting}
      </p>
    </Frame>
  );
}

function UsersSkeleton({ isManaged }: { isManaged: boolean }) {
  const { columns, isOn } = useOptions();
  const { manage } = useMessages();
  const view = { ...EVERYONE, sort: NEWEST_FIRST };
  const newUser = (
    <span className="new-user">
      {isOn("invite") && (
        <button className="button" type="button">
          {manage.label.invite}
        </button>
      )}
      {isOn("create") && (
        <button className="button is-primary" type="button">
          {manage.label.create}
        </button>
      )}
    </span>
  );
  return (
    <>
      <StatsPanel stats={undefined} error={undefined} onRetry={nothing} />
      <Filters view={view} onChange={nothing} counts={undefined} end={isManaged && newUser} />
      <div className="table-frame">
        <table className="table users-table">
          <UsersHead view={view} onSort={nothing} hasActions={isManaged} />
          <SkeletonRows cells={userCells(columns.length, isManaged)} />
        </table>
      </div>
    </>
  );
}

function AuditSkeleton() {
  return (
    <>
      <AuditFilters view={EVERYTHING} onChange={nothing} />
      <div className="table-frame">
        <table className="table audit-table">
          <AuditHead />
          <SkeletonRows cells={AUDIT_CELLS} />
        </table>
      </div>
    </>
  );
}
