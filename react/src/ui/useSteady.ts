import { useState, useSyncExternalStore } from "react";

// Whether a pointer or a key is pressed. A click comes after the release, so the press ends a moment later.
let isPressed = false;
const listeners = new Set<() => void>();

function set(pressed: boolean): void {
  if (isPressed === pressed) return;
  isPressed = pressed;
  for (const listener of listeners) listener();
}

const begin = () => set(true);
const end = () => setTimeout(set, 0, false);
const leave = (event: Event) => event.target === window && end(); // the key is released elsewhere
const EVENTS = [
  ["pointerdown", begin],
  ["keydown", begin],
  ["pointerup", end],
  ["pointercancel", end],
  ["keyup", end],
  ["blur", leave],
] as const;

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    for (const [type, handle] of EVENTS) addEventListener(type, handle, true);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    isPressed = false;
    for (const [type, handle] of EVENTS) removeEventListener(type, handle, true);
  };
}

// Returns the value, which does not change while something is pressed: what a button offers when a press begins, it does
// when the press ends.
export function useSteady<Value>(value: Value): Value {
  const [kept, setKept] = useState(value);
  const isHeld = useSyncExternalStore(
    subscribe,
    () => isPressed && kept !== value, // a press alone renders nothing
    () => false,
  );
  if (!isHeld && kept !== value) setKept(value);
  return isHeld ? kept : value;
}
