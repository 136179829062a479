import { useConvexAuth } from "convex/react";
import { useMessages } from "../messages/messages.ts";
import { useIsOffline } from "./useConnection.ts";

// Says what a page without data waits for.
export function WaitingNote() {
  const { ui } = useMessages();
  const isOffline = useIsOffline();
  const { isLoading } = useConvexAuth();
  return <>{isOffline ? ui.waitingForConvex : isLoading ? ui.waitingForClerk : ui.waiting}</>;
}
