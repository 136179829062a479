import { useId, useMemo } from "react";
import { useAdminAnswer } from "../data/useAnswer.ts";
import { useFunctions, type Refusal } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { Time } from "../ui/Time.tsx";
import type { Manage } from "./manage.ts";
import { TimeField } from "./UserFields.tsx";
import { useHistory } from "./useHistory.ts";

// Says how fresh the row of a user is, and why a change could not be written. There need not be a row.
export function SyncState({ clerkId, manage }: { clerkId: string; manage: Manage | undefined }) {
  const { sheet } = useMessages();
  const { getUser, refusals } = useFunctions();
  const args = useMemo(() => ({ clerkId }), [clerkId]);
  const { value: user } = useAdminAnswer(getUser, args);
  const { value: refused } = useAdminAnswer(refusals, args);
  const { entries = [] } = useHistory(clerkId);
  const id = useId();
  const [refusal] = refused?.latest ?? [];
  const written = entries.find(({ outcome }) => outcome === "created" || outcome === "updated");
  return (
    <section className="sync" aria-labelledby={id}>
      <h3 id={id}>{sheet.sync}</h3>
      {refusal !== undefined && <Refused refusal={refusal} hasRow={user !== null} />}
      {user && (
        <>
          <dl>
            <TimeField label={sheet.updated} value={user.updatedAt || undefined} missing={sheet.unknown} />
            <TimeField label={sheet.observed} value={user.observedAt || undefined} missing={sheet.unknown} />
            {written !== undefined && (
              <TimeField label={sheet.written} value={written._creationTime}>
                {sheet.writtenBy(written.source)}
              </TimeField>
            )}
          </dl>
          <p className="reason">{sheet.syncText}</p>
        </>
      )}
      {manage !== undefined && <manage.SyncNow clerkId={clerkId} />}
    </section>
  );
}

function Refused({ refusal, hasRow }: { refusal: Refusal; hasRow: boolean }) {
  const { sheet, refusals } = useMessages();
  const { number } = useFormats();
  const { count, reason, firstAt, lastAt } = refusal;
  const last = <Time value={lastAt} />;
  return (
    <div className="refused" role="status">
      <strong>{hasRow ? sheet.refused : sheet.refusedNew}</strong>
      <p>{reason}</p>
      <p className="muted">
        {count === 1
          ? sheet.refusedOnce(last)
          : sheet.refusedTimes(refusals.times(count, number(count)), <Time value={firstAt} />, last)}
      </p>
      <p className="muted">{sheet.refusedText}</p>
    </div>
  );
}
