import { useMessages } from "../messages/messages.ts";

type Props = {
  isLoading: boolean;
  onLoad: (() => void) | null;
  problem?: string | false; // why rows are missing
  onRetry?: () => void;
  children: React.ReactNode;
};

// Shows how many rows are loaded, and a button that loads more. The element stays while it loads, and keeps the focus.
export function LoadMore({ isLoading, onLoad, problem = false, onRetry, children }: Props) {
  const { ui } = useMessages();
  return (
    <div className={isLoading ? "load-more is-loading" : "load-more"}>
      <span className="muted">{children}</span>
      {problem !== false && (
        <span role="alert" className="load-problem">
          {problem}{" "}
          <button className="button" type="button" onClick={onRetry}>
            {ui.retry}
          </button>
        </span>
      )}
      {(onLoad !== null || isLoading) && (
        <button
          className="button"
          type="button"
          aria-disabled={isLoading}
          onClick={() => {
            if (!isLoading) onLoad?.();
          }}
        >
          {isLoading ? ui.loading : ui.loadMore}
        </button>
      )}
    </div>
  );
}
