// Computes the times of cron schedules, and runs timers.
import { clearTimeout, setTimeout } from "node:timers";

export type Schedule =
  | { type: "interval"; seconds?: number; minutes?: number; hours?: number }
  | { type: "hourly"; minuteUTC?: number }
  | { type: "daily"; hourUTC: number; minuteUTC?: number }
  | { type: "weekly"; dayOfWeek: string; hourUTC: number; minuteUTC?: number }
  | { type: "monthly"; day: number; hourUTC: number; minuteUTC?: number }
  | { type: "cron"; cron: string };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const LONGEST_TIMEOUT = 2 ** 31 - 1; // milliseconds; the limit of setTimeout

// Returns the first time of `schedule` after `after`. All times are Unix milliseconds. An interval counts from `start`.
// Returns null for cron strings, which are not run here.
export function nextRun(schedule: Schedule, start: number, after: number): number | null {
  switch (schedule.type) {
    case "cron":
      return null;
    case "interval": {
      const { hours = 0, minutes = 0, seconds = 0 } = schedule;
      const every = hours * HOUR + minutes * MINUTE + seconds * 1000;
      return start + (Math.floor((after - start) / every) + 1) * every;
    }
    case "hourly":
      return following(after, HOUR, minute(schedule));
    case "daily":
      return following(after, DAY, schedule.hourUTC * HOUR + minute(schedule));
    case "weekly": {
      // The first day of Unix time was a Thursday.
      const day = (DAYS.indexOf(schedule.dayOfWeek) - 4 + 7) % 7;
      return following(after, 7 * DAY, day * DAY + schedule.hourUTC * HOUR + minute(schedule));
    }
    case "monthly": {
      const from = new Date(after);
      for (let month = from.getUTCMonth(); ; month++) {
        const time =
          Date.UTC(from.getUTCFullYear(), month, schedule.day, schedule.hourUTC) + minute(schedule);
        // Skips a month without this day.
        if (time > after && new Date(time).getUTCDate() === schedule.day) {
          return time;
        }
      }
    }
  }
}

export function describeSchedule(schedule: Schedule): string {
  const { type, ...rest } = schedule;
  return `${type} ${Object.values(rest).join(" ")}`.trim();
}

// Returns the offset of the minute in milliseconds. Without a minute, Convex picks one; here it is the full hour.
function minute(schedule: { minuteUTC?: number }): number {
  return (schedule.minuteUTC ?? 0) * MINUTE;
}

function following(after: number, period: number, offset: number): number {
  return Math.floor((after - offset) / period + 1) * period + offset;
}

// Runs `action` at `time` by the clock `now`, also if that is later than setTimeout can wait. The timer does not keep
// the process alive. Returns a function that cancels it.
export function runAt(time: number, now: () => number, action: () => void): () => void {
  let timer: NodeJS.Timeout;
  function arm(): void {
    const delay = Math.min(Math.max(0, time - now()), LONGEST_TIMEOUT);
    timer = setTimeout(() => {
      if (now() < time) {
        arm();
      } else {
        action();
      }
    }, delay);
    timer.unref();
  }
  arm();
  return () => {
    clearTimeout(timer);
  };
}
