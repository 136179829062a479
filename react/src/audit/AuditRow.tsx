import { memo } from "react";
import { useFlash } from "../data/useFlash.ts";
import type { AuditEntry } from "../functions.ts";
import { useFormats } from "../messages/messages.ts";
import { pathOf, useRouter } from "../router/router.tsx";
import { Nothing } from "../ui/Nothing.tsx";
import { Time } from "../ui/Time.tsx";
import { actionText } from "./actionText.ts";
import { OUTCOME_LABELS } from "./auditView.ts";

const SOURCES: Record<AuditEntry["source"], string> = {
  webhook: "Webhook",
  backfill: "Backfill",
  admin: "Administrator",
  user: "The user",
  manual: "By hand",
  schedule: "On time", // a lock ended by itself
};

// Columns that Convex derives from others, and that are not shown.
const DERIVED = new Set(["sortName", "sortEmail", "searchText"]);

type Props = { entry: AuditEntry; isNew: boolean };

export const AuditRow = memo(function AuditRow({ entry, isNew }: Props) {
  const flash = useFlash(entry);
  const { outcome, source, actor, actorName } = entry;
  return (
    <tr role="row" data-clerk-id={entry.clerkId} data-new={isNew || undefined} data-flash={flash}>
      <td role="cell" className="col-when">
        <Time value={entry._creationTime} hasSeconds />
      </td>
      <td role="cell" className="col-outcome">
        <span className={`outcome is-${outcome}`}>{OUTCOME_LABELS[outcome]}</span>
      </td>
      <td role="cell" className="col-who">
        <Who entry={entry} />
      </td>
      <td role="cell" className="col-what">
        <What entry={entry} />
      </td>
      <td role="cell" className="col-source">
        {SOURCES[source]}
      </td>
      <td role="cell" className="col-actor">
        {actor === undefined ? (
          <Nothing />
        ) : (
          <span className="actor truncate" title={actor}>
            <span className="card-label">by </span>
            <bdi>{actorName ?? <code>{actor}</code>}</bdi>
          </span>
        )}
      </td>
    </tr>
  );
});

function Who({ entry: { clerkId, count, name } }: { entry: AuditEntry }) {
  const { Link, location } = useRouter();
  const { number } = useFormats();
  if (clerkId === undefined) {
    if (count === undefined) return <Nothing />;
    return <>{count === 1 ? "1 user" : `${number(count)} users`}</>;
  }
  return (
    <Link
      className="who truncate"
      href={`${pathOf(location)}?user=${encodeURIComponent(clerkId)}`}
      title={clerkId}
      dir="auto"
    >
      {name ?? <code>{clerkId}</code>}
    </Link>
  );
}

// The action of an admin, or the fields that changed.
function What({ entry }: { entry: AuditEntry }) {
  const text =
    entry.action === undefined
      ? entry.fields.filter((field) => !DERIVED.has(field)).join(", ")
      : actionText(entry.action, entry.reason, entry.status);
  if (text === "") return <Nothing />;
  return (
    <span className="truncate" title={text}>
      {text}
    </span>
  );
}
