import { useState } from "react";

// Returns a value for an attribute that restarts a CSS animation whenever `value` changes, but not at first.
export function useFlash(value: unknown): "odd" | "even" | undefined {
  const [seen, setSeen] = useState({ value, changes: 0 });
  if (seen.value !== value) setSeen({ value, changes: seen.changes + 1 });
  if (seen.changes === 0) return undefined;
  return seen.changes % 2 === 1 ? "odd" : "even";
}
