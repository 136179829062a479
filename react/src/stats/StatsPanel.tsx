import type { ReactNode } from "react";
import type { Stats } from "../functions.ts";
import { Failure } from "../ui/Failure.tsx";
import { StatusShape } from "../ui/Status.tsx";
import { number } from "../ui/number.ts";
import { STATUS_LABELS, STATUSES } from "../ui/statuses.ts";
import { SignUpsChart } from "./SignUpsChart.tsx";

type Props = { stats: Stats | undefined; error: Error | undefined; onRetry: () => void };

export function StatsPanel({ stats, error, onRetry }: Props) {
  if (error !== undefined) {
    return (
      <section className="stats is-failed" aria-label="Totals">
        <Failure title="The totals could not be loaded" error={error} onRetry={onRetry} />
      </section>
    );
  }
  return (
    <section className="stats" aria-label="Totals" aria-busy={stats === undefined}>
      <dl className="totals">
        <Total label="Users" value={stats?.total} />
        {STATUSES.map((status) => (
          <Total
            key={status}
            label={STATUS_LABELS[status]}
            value={stats?.[status]}
            shape={<StatusShape status={status} />}
          />
        ))}
      </dl>
      <SignUpsChart days={stats?.days} note={stats?.rebuilding ? "being counted afresh" : undefined} />
    </section>
  );
}

function Total({ label, value, shape }: { label: string; value: number | undefined; shape?: ReactNode }) {
  return (
    <div className="total">
      <dt>
        {shape}
        {label}
      </dt>
      <dd>{value === undefined ? <span className="bone" /> : number.format(value)}</dd>
    </div>
  );
}
