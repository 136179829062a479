// Remembers how far each list was scrolled, so that "back" and a reload lead to the same place. It keeps numbers and one
// Clerk id for each of the last URLs, in the session of the browser's tab.
const KEY = "clerk-convex:places";
const MOST = 20; // lists
const DEEPEST = 2000; // rows that are loaded again

export type Place = {
  rows: number; // that were loaded
  clerkId: string; // of the first row in the window
  first: number; // its position in the list
  offset: number; // pixels from the top of the window to that row
};

// true: the page was reached by "back", "forward" or a reload, and nobody has done anything since.
let isReturn = false;

// At the import, because the listener of the router, which draws the page, must come later.
if (typeof window !== "undefined") {
  const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  isReturn = entry?.type === "reload" || entry?.type === "back_forward";
  addEventListener("popstate", () => (isReturn = true), true);
  for (const type of ["pointerdown", "keydown", "wheel", "touchmove"]) {
    addEventListener(type, () => (isReturn = false), { capture: true, passive: true });
  }
}

// The same list, whoever's details are open.
export function placeKey(location: string): string {
  const [path = "", query = ""] = location.split("?", 2);
  const params = new URLSearchParams(query);
  params.delete("user");
  return `${path}?${params.toString()}`;
}

// Returns the place where a list was left, or null if somebody comes to it afresh: who follows a link begins at the top.
export function placeOf(url: string): Place | null {
  if (typeof window === "undefined") return null; // on a server
  return isReturn ? (read().get(url) ?? null) : null;
}

export function isReturning(): boolean {
  return isReturn;
}

export function remember(url: string, place: Place | null): void {
  const places = read();
  places.delete(url);
  if (place !== null) places.set(url, { ...place, rows: Math.min(place.rows, DEEPEST) });
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...places].slice(-MOST)));
  } catch {
    // The browser stores nothing. Then lists begin at their top.
  }
}

function read(): Map<string, Place> {
  try {
    const places = JSON.parse(sessionStorage.getItem(KEY) ?? "[]") as [string, Place][];
    return new Map(places.filter(([, { rows, first, offset }]) => [rows, first, offset].every(Number.isFinite)));
  } catch {
    return new Map();
  }
}
