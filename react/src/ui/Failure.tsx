import { errorReason } from "./errorReason.ts";

export function Failure({ title, error, onRetry }: { title: string; error: Error; onRetry: () => void }) {
  return (
    <div className="notice" role="alert">
      <h2>{title}</h2>
      <p>{errorReason(error)}</p>
      <button className="button" type="button" onClick={onRetry}>
        Retry
      </button>
    </div>
  );
}
