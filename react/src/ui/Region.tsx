import type { ReactNode } from "react";
import { deniedReason } from "../data/denied.ts";
import { Boundary } from "./Boundary.tsx";
import { Failure } from "./Failure.tsx";

type Props = { children: ReactNode; title: string; resetKey?: unknown };

// A part of the page that can fail and be retried alone. Errors of access are left to the Gate.
export function Region({ children, title, resetKey }: Props) {
  return (
    <Boundary
      resetKey={resetKey}
      fallback={(error, retry) => {
        if (deniedReason(error) !== null) throw error;
        return <Failure title={title} error={error} onRetry={retry} />;
      }}
    >
      {children}
    </Boundary>
  );
}
