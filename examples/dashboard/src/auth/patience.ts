const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 3000;

// Repeats `attempt` until it answers, or fails with an error that is definite. Convex takes a token that is not there
// for signing out, so a token that cannot be fetched just now has to be waited for: meanwhile the page keeps its data.
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

// Shorter when the network comes back.
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
