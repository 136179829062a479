import { useSyncExternalStore } from "react";
import type { Formats } from "../messages/formats.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
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

type Props = { value: number; hasSeconds?: boolean };

// A relative time that stays up to date, with the exact time on hover. As time passes, only this component renders
// again.
export function Time({ value, hasSeconds = false }: Props) {
  const { ui } = useMessages();
  const formats = useFormats();
  const read = () => ago(value, clockTime(), hasSeconds, formats);
  const text = useSyncExternalStore(subscribeToClock, read, read);
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return <>{ui.unknownTime}</>; // Date ends in the year 275760
  return (
    <time dateTime={date.toISOString()} title={formats.exact(value)}>
      {text}
    </time>
  );
}

export function ExactTime({ value }: { value: number }) {
  const { ui } = useMessages();
  const formats = useFormats();
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return <>{ui.unknownTime}</>;
  return <time dateTime={date.toISOString()}>{formats.exact(value)}</time>;
}

function ago(value: number, time: number, hasSeconds: boolean, { relative, now }: Formats): string {
  const past = time - value;
  for (const [unit, length] of UNITS) {
    if (Math.abs(past) >= length) return relative(-Math.trunc(past / length), unit);
  }
  if (hasSeconds && past >= SECOND) return relative(-Math.trunc(past / SECOND), "second");
  return now; // seconds are left out, so that the page does not change all the time
}
