import { useConvex, useConvexAuth } from "convex/react";
import { useSyncExternalStore } from "react";
import { connectionOf, type Connection } from "./connection.ts";

export type { Connection } from "./connection.ts";

const CONNECTING: Connection = { state: "connecting" };

// Returns the state of the connection: whether the page shows what Convex has now.
export function useConnection(): Connection {
  const { subscribe, read } = connectionOf(useConvex());
  const connection = useSyncExternalStore(subscribe, read, () => CONNECTING);
  const { isLoading } = useConvexAuth(); // true: not known yet whether somebody is signed in, so nothing is shown
  return isLoading && connection.state === "live" ? CONNECTING : connection;
}

export function useIsOffline(): boolean {
  return useConnection().state === "offline";
}
