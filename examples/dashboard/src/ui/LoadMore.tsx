type Props = { isLoading: boolean; onLoad: (() => void) | null; children: React.ReactNode };

// What there is, and more of it. Its place is kept while it loads, and the focus with it.
export function LoadMore({ isLoading, onLoad, children }: Props) {
  return (
    <div className="load-more">
      <span className="muted">{children}</span>
      {(onLoad !== null || isLoading) && (
        <button
          className="button"
          type="button"
          aria-disabled={isLoading}
          onClick={() => {
            if (!isLoading) onLoad?.();
          }}
        >
          {isLoading ? "Loading…" : "Load more"}
        </button>
      )}
    </div>
  );
}
