const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 3000;

// Repeats `attempt` until it returns or fails with a final error. Convex treats a missing token as signed out, so the
// page waits for a token that cannot be fetched at the moment, and keeps its data meanwhile.
export async function patiently<T>(
  attempt: () => Promise<T>,
  isDefinite: (error: unknown) => boolean,
): Promise<T> {
  for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, LONGEST_DELAY_MS)) {
    try {
      return await attempt();
    } catch (error) {
      if (isDefinite(error)) throw error;
      await pause(delay * (0.5 + Math.random() / 2));
    }
  }
}

// Ends early when the network comes back.
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
  });
}
