import type { ReactNode } from "react";
import { useIsOffline } from "./useConnection.ts";

type Props = { isMissing?: boolean; children: ReactNode };

// Says, in the place of what is missing, that it waits for the connection.
export function OfflineNote({ isMissing = true, children }: Props): ReactNode {
  const isOffline = useIsOffline() && isMissing;
  return (
    <div role="status" className="offline-note" hidden={!isOffline}>
      {isOffline && children}
    </div>
  );
}
