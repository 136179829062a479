import { useState } from "react";

// For an attribute that starts a CSS animation anew whenever the value becomes another. Not at first.
export function useFlash(value: unknown): "odd" | "even" | undefined {
  const [seen, setSeen] = useState({ value, changes: 0 });
  if (seen.value !== value) setSeen({ value, changes: seen.changes + 1 });
  if (seen.changes === 0) return undefined;
  return seen.changes % 2 === 1 ? "odd" : "even";
}
