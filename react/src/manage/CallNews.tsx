import type { Problem } from "./calls.ts";
import { ProblemText } from "./Notices.tsx";

type Props = { told: string; obstacle: string | null; problem: Problem | null };

// Says beside a button what became of its call, and why there can be none.
export function CallNews({ told, obstacle, problem }: Props) {
  return (
    <>
      <p role="status" className="reason">
        {told}
      </p>
      {obstacle !== null && <p className="reason">{obstacle}</p>}
      {problem !== null && (
        <div role="alert" className="form-problem">
          <ProblemText problem={problem} />
        </div>
      )}
    </>
  );
}
