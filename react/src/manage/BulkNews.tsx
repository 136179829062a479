import { useFormats, useMessages } from "../messages/messages.ts";
import { displayName } from "../users/displayName.ts";
import { CloseButton } from "../ui/CloseButton.tsx";
import { MOST } from "./bulk.ts";
import { useManaged, useManaging, useObstacle } from "./context.ts";

// Shows how far an action on several users is, and then the result of each. It stays until it is dismissed.
export function BulkNews() {
  const { manager } = useManaging();
  const { bulk, manage, ui } = useMessages();
  const { number, clock } = useFormats();
  const obstacle = useObstacle();
  const job = useManaged((state) => state.job);
  if (job === null) return <div role="status" />;

  const failed = job.results.filter(({ isDone }) => !isDone);
  const isBad = !job.isRunning && failed.length > 0;
  return (
    <div className={isBad ? "toast is-bad" : "toast is-job"}>
      <div role="status">
        {job.isRunning ? (
          <>
            <span className="progress-dot" aria-hidden="true" /> {manage.progress[job.action]}
          </>
        ) : (
          <strong>
            {bulk.summary(job.action, job.results.length - failed.length, job.total, number)}
          </strong>
        )}
      </div>
      {job.isRunning && (
        <>
          <progress aria-label={manage.label[job.action]} max={job.total} value={job.results.length} />
          <p className="muted">
            {bulk.progress(number(job.results.length), number(job.total))}
          </p>
          {job.resumesAt > 0 && <p>{bulk.paused(clock(job.resumesAt))}</p>}
          {job.total > job.results.length + MOST && (
            <button className="button" type="button" onClick={() => manager.cancelJob()}>
              {bulk.cancel}
            </button>
          )}
        </>
      )}
      {!job.isRunning && (
        <>
          <details className="results" open={isBad}>
            <summary>{bulk.resultOfEach}</summary>
            <ul tabIndex={0} aria-label={bulk.results}>
              {[...failed, ...job.results.filter(({ isDone }) => isDone)].map(({ user, isDone, synced, message, isCancelled }) => (
                <li key={user.clerkId}>
                  <bdi>{displayName(user)}</bdi>: {isDone ? (synced ? bulk.done : bulk.doneAtClerk) : (isCancelled ? bulk.cancelled : (message ?? bulk.notAnswered))}
                </li>
              ))}
            </ul>
          </details>
          {job.canUndo && (
            <button
              className="button"
              type="button"
              aria-disabled={obstacle !== null}
              title={obstacle ?? undefined}
              onClick={() => obstacle === null && void manager.undoAll(job)}
            >
              {bulk.undo}
            </button>
          )}
          <CloseButton className="toast-close" label={ui.dismiss} onClick={() => manager.set({ job: null })} />
        </>
      )}
    </div>
  );
}
