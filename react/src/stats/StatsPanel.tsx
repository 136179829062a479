import type { ReactNode } from "react";
import type { Stats } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { Failure } from "../ui/Failure.tsx";
import { StatusShape } from "../ui/Status.tsx";
import { STATUSES } from "../ui/statuses.ts";
import { SignUpsChart } from "./SignUpsChart.tsx";

type Props = { stats: Stats | undefined; error: Error | undefined; onRetry: () => void };

export function StatsPanel({ stats, error, onRetry }: Props) {
  const messages = useMessages();
  const text = messages.stats;
  if (error !== undefined) {
    return (
      <section className="stats is-failed" aria-label={text.totals}>
        <Failure title={text.failed} error={error} onRetry={onRetry} />
      </section>
    );
  }
  return (
    <div className="stats-frame">
      <section className="stats" aria-label={text.totals} aria-busy={stats === undefined}>
        <dl className="totals">
          <Total label={text.users} value={stats?.total} />
          {STATUSES.map((status) => (
            <Total
              key={status}
              label={messages.ui[status]}
              value={stats?.[status]}
              shape={<StatusShape status={status} />}
            />
          ))}
        </dl>
        <SignUpsChart days={stats?.days} note={stats?.rebuilding ? text.rebuilding : undefined} />
      </section>
    </div>
  );
}

function Total({ label, value, shape }: { label: string; value: number | undefined; shape?: ReactNode }) {
  const { number } = useFormats();
  return (
    <div className="total">
      <dt>
        {shape}
        {label}
      </dt>
      <dd>{value === undefined ? <span className="bone" /> : number(value)}</dd>
    </div>
  );
}
