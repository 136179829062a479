import { useFormats, useMessages } from "../messages/messages.ts";
import { errorReason } from "../ui/errorReason.ts";
import { Icon } from "../ui/Icon.tsx";
import { OfflineNote } from "../ui/OfflineNote.tsx";
import type { Csv } from "./useCsv.ts";

type ButtonProps = { isRunning: boolean; onStart: () => void };

export function CsvButton({ isRunning, onStart }: ButtonProps) {
  const { filters } = useMessages();
  return (
    <button
      className="button csv-button"
      type="button"
      aria-label={filters.csv}
      title={filters.csv}
      aria-disabled={isRunning}
      onClick={() => !isRunning && onStart()}
    >
      <Icon>
        <path d="M8 2v8m-3-3 3 3 3-3M3 13h10" />
      </Icon>
    </button>
  );
}

type Props = { csv: Csv; total: number | undefined; onRetry: () => void };

// Shows how far the file is, and how it ended. It stays until it is dismissed.
export function CsvProgress({ csv: { state, stop }, total, onRetry }: Props) {
  const { filters, list, ui } = useMessages();
  const { number } = useFormats();
  return (
    <div className="csv" role="group" aria-label={filters.csv} hidden={state === null}>
      <p role="status">
        {state?.is === "running" && filters.csvRunning}
        {state?.is === "done" && filters.csvDone(state.count, number(state.count), state.name)}
        {state?.is === "done" && state.isCut && ` ${filters.csvCut}`}
      </p>
      {state?.is === "running" && (
        <>
          <progress aria-label={filters.csv} max={total ?? 1} value={total === undefined ? undefined : Math.min(state.count, total)} />
          <span className="muted">{filters.csvCount(state.count, number(state.count))}</span>
        </>
      )}
      <OfflineNote isMissing={state?.is === "running"}>{list.offline}</OfflineNote>
      {state?.is === "failed" && (
        <p role="alert">
          {filters.csvFailed} {errorReason(state.error, ui)}
        </p>
      )}
      {state?.is === "failed" && (
        <button className="button" type="button" onClick={onRetry}>
          {ui.retry}
        </button>
      )}
      <button className="button" type="button" onClick={stop}>
        {state?.is === "running" ? filters.cancel : ui.dismiss}
      </button>
    </div>
  );
}
