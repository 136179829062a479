import type { ReactNode } from "react";
import type { AuditEntry, AuditOutcome } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { ExactTime } from "../ui/Time.tsx";
import { actionText, changeText, reasonText } from "./entryText.ts";

// All that is recorded of an entry.
export function AuditDetails({ entry, outcome }: { entry: AuditEntry; outcome: AuditOutcome }) {
  const { audit } = useMessages();
  const formats = useFormats();
  const { action, actor, actorName, clerkId, name, object, reason, status, endedAt } = entry;
  const changed = changeText(entry, audit, formats);
  return (
    <dl>
      <Fact label={action === undefined ? audit.time : audit.started}>
        <ExactTime value={entry._creationTime} />
      </Fact>
      {endedAt !== undefined && (
        <Fact label={audit.ended}>
          <ExactTime value={endedAt} />
        </Fact>
      )}
      {action !== undefined && <Fact label={audit.action}>{actionText(action, audit)}</Fact>}
      <Fact label={audit.outcome}>{outcome === "unknown" ? audit.noOutcome : audit.outcomes[outcome]}</Fact>
      {changed !== "" && <Fact label={audit.what}>{changed}</Fact>}
      {reason !== undefined && <Fact label={audit.reason}>{reasonText(reason, undefined, audit)}</Fact>}
      {status !== undefined && <Fact label={audit.answered}>{status}</Fact>}
      {clerkId !== undefined && <Id label={audit.user} name={name} id={clerkId} />}
      {actor !== undefined && <Id label={audit.by} name={actorName} id={actor} />}
      {object !== undefined && (
        <Id label={object.startsWith("inv_") ? audit.invitation : audit.session} id={object} />
      )}
      <Fact label={audit.source}>{audit.sources[entry.source]}</Fact>
      {entry.requestId !== undefined && <Id label={audit.request} id={entry.requestId} />}
      {entry.eventId !== undefined && <Id label={audit.event} id={entry.eventId} />}
      <Id label={audit.entry} id={entry._id} />
    </dl>
  );
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Id({ label, name, id }: { label: string; name?: string | null; id: string }) {
  return (
    <Fact label={label}>
      {name && <bdi>{name} </bdi>}
      <code>{id}</code>
      <CopyButton text={id} label={label} />
    </Fact>
  );
}
