import { useConvex, useConvexAuth, useConvexConnectionState } from "convex/react";
import { useEffect, useState, useSyncExternalStore } from "react";

const PATIENCE_MS = 1500; // a shorter interruption is not shown

export type Connection =
  { state: "live" } | { state: "connecting" } | { state: "offline"; since: number | null };

// Returns the state of the connection: whether the page shows what Convex has now.
export function useConnection(): Connection {
  const { isWebSocketConnected, hasEverConnected, connectionRetries } = useConvexConnectionState();
  const { isLoading } = useConvexAuth(); // true: not known yet whether somebody is signed in, so nothing is shown
  const { url } = useConvex();
  // A socket takes a minute to notice that the network is gone. The browser knows it immediately.
  const hasNetwork = useSyncExternalStore(
    subscribeToNetwork,
    () => navigator.onLine || isOnThisMachine(url),
    () => true,
  );
  const isConnected = isWebSocketConnected && hasNetwork;
  const [lostAt, setLostAt] = useState<number | null>(null);

  useEffect(() => {
    if (isConnected) return;
    const at = Date.now();
    const timer = setTimeout(() => setLostAt(at), PATIENCE_MS);
    return () => {
      clearTimeout(timer);
      setLostAt(null);
    };
  }, [isConnected]);

  if (isConnected) return { state: isLoading ? "connecting" : "live" };
  const wasTried = hasEverConnected || connectionRetries > 0 || !hasNetwork;
  return lostAt !== null && wasTried
    ? { state: "offline", since: hasEverConnected ? lostAt : null }
    : { state: "connecting" };
}

function isOnThisMachine(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
}

function subscribeToNetwork(listener: () => void): () => void {
  addEventListener("online", listener);
  addEventListener("offline", listener);
  return () => {
    removeEventListener("online", listener);
    removeEventListener("offline", listener);
  };
}
