export type SkeletonCell = { className: string; colSpan?: number; shape: "user" | "word" | "none" };

const ROWS = 25; // the size of the first page

export function SkeletonRows({ cells }: { cells: SkeletonCell[] }) {
  return (
    <tbody role="rowgroup" aria-hidden="true">
      {Array.from({ length: ROWS }, (_, row) => (
        <tr role="row" key={row} className="skeleton-row">
          {cells.map(({ className, colSpan, shape }, cell) => (
            <td role="cell" key={cell} className={className} colSpan={colSpan}>
              {shape === "word" && <span className="bone" />}
              {shape === "user" && (
                <div className="user-cell">
                  <span className="avatar bone" />
                  <div className="user-text">
                    <span className="bone is-name" />
                    <span className="bone is-email" />
                  </div>
                </div>
              )}
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  );
}
