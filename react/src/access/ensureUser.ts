// Asks the service to write the caller's own row: POST /api/users/me of clerk_convex's user_routes(). It reads the user
// from Clerk, so the row is there right after the sign-up, before the first webhook.
import type { GetToken } from "../auth/session.ts";

const ATTEMPTS = 5;
const TIMEOUT_MS = 30_000; // longer than the service waits for Clerk and for Convex
const PAUSE_MS = 5000; // if the service does not say how long to wait

type Next = { again: boolean; pauseMs: number; skipCache: boolean };

const NEVER: Next = { again: false, pauseMs: 0, skipCache: false };

// Asks until the service has answered, at most five times. Never throws. The row itself arrives by `currentUser`.
export async function ensureUser(url: string, getToken: GetToken, signal: AbortSignal): Promise<void> {
  let skipCache = false;
  for (let attempt = 1; attempt <= ATTEMPTS && !signal.aborted; attempt += 1) {
    const next = await ask(url, getToken, skipCache, signal);
    if (!next.again || attempt === ATTEMPTS) return;
    skipCache = next.skipCache;
    await pause(next.pauseMs, signal);
  }
}

async function ask(url: string, getToken: GetToken, skipCache: boolean, signal: AbortSignal): Promise<Next> {
  try {
    const token = await getToken({ skipCache });
    if (token === null) return NEVER; // signed out meanwhile
    const response = await fetch(`${url}/me`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    if (response.ok) return NEVER;
    const again = response.status >= 500 || response.status === 429;
    const pauseMs = 1000 * Number(response.headers.get("Retry-After")) || PAUSE_MS;
    // The token may have expired. Retry once with a fresh one.
    if (response.status === 401 && !skipCache) return { again: true, pauseMs: 0, skipCache: true };
    return { again, pauseMs, skipCache: false };
  } catch {
    return { again: true, pauseMs: PAUSE_MS, skipCache: false }; // no network, too slow, or Clerk is not there
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
