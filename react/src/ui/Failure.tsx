import { useMessages } from "../messages/messages.ts";
import { errorReason } from "./errorReason.ts";

export function Failure({ title, error, onRetry }: { title: string; error: Error; onRetry: () => void }) {
  const { ui } = useMessages();
  return (
    <div className="notice" role="alert">
      <h2>{title}</h2>
      <p>{errorReason(error, ui)}</p>
      <button className="button" type="button" onClick={onRetry}>
        {ui.retry}
      </button>
    </div>
  );
}
