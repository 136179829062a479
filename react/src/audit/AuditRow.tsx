import { memo, useId, useState, useSyncExternalStore } from "react";
import { useFlash } from "../data/useFlash.ts";
import type { AuditEntry, AuditOutcome } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { pathOf, useQueryParams, useRouter } from "../router/router.tsx";
import { clockTime, subscribeToClock } from "../ui/clock.ts";
import { Icon } from "../ui/Icon.tsx";
import { Nothing } from "../ui/Nothing.tsx";
import { Time } from "../ui/Time.tsx";
import { AuditDetails } from "./AuditDetails.tsx";
import { EVERYTHING, writeView } from "./auditView.ts";
import { entryText } from "./entryText.ts";

const ABANDONED_MS = 10 * 60 * 1000; // Convex closes such an action with the next one, or once a day

type Props = { entry: AuditEntry; isNew: boolean };

export const AuditRow = memo(function AuditRow({ entry, isNew }: Props) {
  const { audit } = useMessages();
  const formats = useFormats();
  const details = useId();
  const [isOpen, setOpen] = useState(false);
  const flash = useFlash(entry);
  const outcome = useOutcome(entry);
  const { source, actor, actorName, clerkId, name } = entry;
  const what = entryText(entry, audit, formats);
  const label = audit.detailsOf(what || audit.outcomes[outcome], name ?? clerkId ?? audit.sources[source]);
  return (
    <>
      <tr
        role="row"
        className={isOpen ? "is-open" : undefined}
        data-clerk-id={clerkId}
        data-new={isNew || undefined}
        data-flash={flash}
      >
        <td role="cell" className="col-when">
          <Time value={entry._creationTime} hasSeconds />
        </td>
        <td role="cell" className="col-outcome">
          <span className={`outcome is-${outcome}`}>{audit.outcomes[outcome]}</span>
        </td>
        <td role="cell" className="col-who">
          <Who entry={entry} />
        </td>
        <td role="cell" className="col-what">
          {what === "" ? (
            <Nothing />
          ) : (
            <span className="truncate" title={what}>
              {what}
            </span>
          )}
        </td>
        <td role="cell" className="col-source">
          {audit.sources[source]}
        </td>
        <td role="cell" className="col-actor">
          {actor === undefined ? (
            <Nothing />
          ) : (
            <span className="actor truncate" title={actor}>
              <span className="card-label">{audit.byActor} </span>
              <bdi>{actorName ?? <code>{actor}</code>}</bdi>
            </span>
          )}
        </td>
        <td role="cell" className="col-details">
          <button
            className="icon-button"
            type="button"
            aria-label={label}
            title={audit.details}
            aria-expanded={isOpen}
            aria-controls={isOpen ? details : undefined}
            onClick={() => setOpen(!isOpen)}
          >
            <Icon>
              <path d="m4 6.25 4 4 4-4" />
            </Icon>
          </button>
        </td>
      </tr>
      {isOpen && (
        <tr role="row" id={details} className="audit-details">
          <td role="cell" colSpan={6}>
            <AuditDetails entry={entry} outcome={outcome} />
          </td>
          {/* Where the column of the sources is hidden, there is one column less. */}
          <td role="cell" className="col-source" />
        </tr>
      )}
    </>
  );
});

// Returns the outcome. Nobody will record the end of an action that started long ago.
function useOutcome({ outcome, _creationTime }: AuditEntry): AuditOutcome {
  const isOld = () => clockTime() - _creationTime > ABANDONED_MS;
  const isAbandoned = useSyncExternalStore(subscribeToClock, isOld, isOld);
  return outcome === "started" && isAbandoned ? "unknown" : outcome;
}

function Who({ entry: { clerkId, count, name } }: { entry: AuditEntry }) {
  const { audit } = useMessages();
  const { Link, location } = useRouter();
  const [params] = useQueryParams();
  const { number } = useFormats();
  if (clerkId === undefined) {
    if (count === undefined) return <Nothing />;
    return <>{audit.users(count, number(count))}</>;
  }
  return (
    <Link
      className="who truncate"
      href={`${pathOf(location)}?${writeView(params, { ...EVERYTHING, clerkId }).toString()}`}
      title={clerkId}
      dir="auto"
    >
      {name ?? <code>{clerkId}</code>}
    </Link>
  );
}
