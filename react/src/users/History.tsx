import { useId } from "react";
import { entryText } from "../audit/entryText.ts";
import type { AuditEntry } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { Failure } from "../ui/Failure.tsx";
import { Time } from "../ui/Time.tsx";
import { AuditLink } from "./AuditLink.tsx";
import { useHistory } from "./useHistory.ts";

// The newest entries of the audit log about a user, who need not have a row any more.
export function History({ clerkId }: { clerkId: string }) {
  const { sheet } = useMessages();
  const { entries, error, retry } = useHistory(clerkId);
  const id = useId();
  return (
    <section className="history" aria-labelledby={id} aria-busy={entries === undefined && error === undefined}>
      <h3 id={id}>{sheet.history}</h3>
      {error !== undefined && <Failure title={sheet.historyFailed} error={error} onRetry={retry} />}
      {entries?.length === 0 && <p className="muted">{sheet.noHistory}</p>}
      {entries !== undefined && entries.length > 0 && (
        <ul className="session-list" aria-labelledby={id}>
          {entries.map((entry) => (
            <Entry key={entry._id} entry={entry} />
          ))}
        </ul>
      )}
      <AuditLink clerkId={clerkId} />
    </section>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const { audit, sheet } = useMessages();
  const formats = useFormats();
  const { outcome, actor, actorName } = entry;
  return (
    <li className="history-entry">
      <span>
        <span className={`outcome is-${outcome}`}>{audit.outcomes[outcome]}</span> {entryText(entry, audit, formats)}
      </span>
      <span className="muted">
        <Time value={entry._creationTime} hasSeconds />
        {actor !== undefined && <> · {sheet.by(<bdi>{actorName ?? actor}</bdi>)}</>}
      </span>
    </li>
  );
}
