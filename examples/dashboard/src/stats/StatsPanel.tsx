import type { ReactNode } from "react";
import type { Stats } from "../functions.ts";
import { Failure } from "../ui/Failure.tsx";
import { StatusShape } from "../ui/Status.tsx";
import { number } from "../ui/number.ts";
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
        <Total label="Active" value={stats?.active} shape={<StatusShape status="active" />} />
        <Total label="Banned" value={stats?.banned} shape={<StatusShape status="banned" />} />
        <Total label="Locked" value={stats?.locked} shape={<StatusShape status="locked" />} />
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
