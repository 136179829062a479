import { useEffect, useLayoutEffect, useRef, useState } from "react";

// useLayoutEffect, of which React 18 warns on a server, where there is no layout.
export const useLayout = typeof document === "undefined" ? useEffect : useLayoutEffect;

// Returns a function that keeps its identity and calls the latest `handler`; for effects and events, not for rendering.
// It is useEffectEvent, which React 18 does not have.
export function useLatest<Args extends unknown[], Result>(handler: (...args: Args) => Result): (...args: Args) => Result {
  const latest = useRef(handler);
  useLayout(() => {
    latest.current = handler;
  });
  const [stable] = useState(() => (...args: Args) => latest.current(...args));
  return stable;
}
