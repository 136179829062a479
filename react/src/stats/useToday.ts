import { useEffect, useState } from "react";

// Returns the day in UTC, such as "2026-11-22".
export function useToday(): string {
  return useDay(utcDay, nextUtcDay);
}

// Returns the beginning of the viewer's day, in Unix milliseconds.
export function useDayStart(): number {
  return useDay(dayStart, nextDay);
}

// A timer stops while the machine sleeps, so the day is also checked when the page becomes visible.
function useDay<Day>(read: () => Day, next: () => number): Day {
  const [today, setToday] = useState(read);
  useEffect(() => {
    const update = () => setToday(read);
    const timer = setTimeout(update, next() - Date.now() + 100);
    document.addEventListener("visibilitychange", update);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", update);
    };
  }, [today, read, next]);
  return today;
}

function utcDay(): string {
  return new Date().toISOString().slice(0, 10);
}

function nextUtcDay(): number {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1);
}

function dayStart(): number {
  return new Date().setHours(0, 0, 0, 0);
}

function nextDay(): number {
  const now = new Date();
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1).getTime();
}
