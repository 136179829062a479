import { useSyncExternalStore } from "react";
import { clockTime, subscribeToClock } from "./clock.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const UNITS = [
  ["year", 365 * 24 * 60 * MINUTE],
  ["month", 30 * 24 * 60 * MINUTE],
  ["day", 24 * 60 * MINUTE],
  ["hour", 60 * MINUTE],
  ["minute", MINUTE],
] as const;

const relative = new Intl.RelativeTimeFormat(undefined, { style: "narrow" });
const now = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(0, "second");
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

type Props = { value: number; hasSeconds?: boolean };

// A relative time that stays up to date, with the exact time on hover. As time passes, only this component renders
// again.
export function Time({ value, hasSeconds = false }: Props) {
  const read = () => ago(value, clockTime(), hasSeconds);
  const text = useSyncExternalStore(subscribeToClock, read, read);
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return <>unknown</>; // Date ends in the year 275760
  return (
    <time dateTime={date.toISOString()} title={exact.format(date)}>
      {text}
    </time>
  );
}

export function ExactTime({ value }: { value: number }) {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return <>unknown</>;
  return <time dateTime={date.toISOString()}>{exact.format(date)}</time>;
}

function ago(value: number, time: number, hasSeconds: boolean): string {
  const past = time - value;
  for (const [unit, length] of UNITS) {
    if (Math.abs(past) >= length) return relative.format(-Math.trunc(past / length), unit);
  }
  if (hasSeconds && past >= SECOND) return relative.format(-Math.trunc(past / SECOND), "second");
  return now; // seconds are left out, so that the page does not change all the time
}
