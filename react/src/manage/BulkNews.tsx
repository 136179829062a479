import { displayName } from "../users/displayName.ts";
import { Icon } from "../ui/Icon.tsx";
import type { Job } from "./bulk.ts";
import { usersText } from "./BulkDialog.tsx";
import { useManaged, useManaging, useObstacle } from "./context.ts";
import { WORDS } from "./words.tsx";

// Shows how far an action on several users is, and then the result of each. It stays until it is dismissed.
export function BulkNews() {
  const { manager } = useManaging();
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
            <span className="progress-dot" aria-hidden="true" /> {WORDS[job.action].progress}
          </>
        ) : (
          <strong>{summary(job)}</strong>
        )}
      </div>
      {job.isRunning && (
        <>
          <progress aria-label={WORDS[job.action].label} max={job.total} value={job.results.length} />
          <p className="muted">
            {job.results.length} of {job.total}
          </p>
        </>
      )}
      {!job.isRunning && (
        <>
          <details className="results" open={isBad}>
            <summary>Result of each user</summary>
            <ul tabIndex={0} aria-label="Results">
              {[...failed, ...job.results.filter(({ isDone }) => isDone)].map(({ user, isDone, synced, message }) => (
                <li key={user.clerkId}>
                  <bdi>{displayName(user)}</bdi>: {isDone ? (synced ? "done" : "done at Clerk, not here yet") : message}
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
              Undo
            </button>
          )}
          <button
            className="icon-button toast-close"
            type="button"
            aria-label="Dismiss"
            title="Dismiss"
            onClick={() => manager.set({ job: null })}
          >
            <Icon size={16}>
              <path d="m4 4 8 8m0-8-8 8" />
            </Icon>
          </button>
        </>
      )}
    </div>
  );
}

function summary({ action, total, results }: Job): string {
  const done = results.filter(({ isDone }) => isDone).length;
  const counted = done === total ? usersText(total) : `${done} of ${usersText(total)}`;
  const { participle } = WORDS[action];
  if (action === "role") return `The role of ${counted} was ${participle}.`;
  return `${counted} ${done === 1 ? "was" : "were"} ${participle}.`;
}
