import { useEffect, useState } from "react";

const DAY_MS = 24 * 60 * 60 * 1000;

// Returns the day in UTC, such as "2026-11-22". A timer stops while the machine sleeps, so the day is also checked when
// the page becomes visible.
export function useToday(): string {
  const [today, setToday] = useState(utcDay);
  useEffect(() => {
    const update = () => setToday(utcDay());
    const timer = setTimeout(update, DAY_MS - (Date.now() % DAY_MS) + 100);
    document.addEventListener("visibilitychange", update);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", update);
    };
  }, [today]);
  return today;
}

function utcDay(): string {
  return new Date().toISOString().slice(0, 10);
}
