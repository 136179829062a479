import { useState } from "react";
import { useOptions } from "../admin/options.ts";
import type { Problem } from "./calls.ts";
import { useManaging, useObstacle } from "./context.ts";
import { ProblemText, useWait } from "./Notices.tsx";
import { readSynced, syncNow } from "./sessionCalls.ts";

// Writes the user as Clerk has it. It stays in the details when the row appears or disappears by it.
export function SyncNow({ clerkId }: { clerkId: string }) {
  const { manager } = useManaging();
  const { isOn } = useOptions();
  const obstacle = useObstacle();
  const [isBusy, setBusy] = useState(false);
  const [told, setTold] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const wait = useWait(problem);
  const isOff = isBusy || obstacle !== null || wait > 0;
  if (!isOn("sync")) return null;

  const sync = async () => {
    setBusy(true);
    setTold("");
    setProblem(null);
    const answer = await manager.ask(syncNow(clerkId), readSynced);
    setBusy(false);
    if (answer.isDone) setTold(answer.value);
    else setProblem(answer);
  };

  return (
    <div className="sync-now">
      <button
        className="button"
        type="button"
        aria-disabled={isOff}
        title={obstacle ?? "Asks Clerk for this user, and writes here what Clerk has"}
        onClick={() => !isOff && void sync()}
      >
        {isBusy ? "Asking Clerk…" : wait > 0 ? `Sync in ${wait} s` : "Sync now"}
      </button>
      <p role="status" className="reason">
        {told}
      </p>
      {obstacle !== null && <p className="reason">{obstacle}</p>}
      {problem !== null && (
        <div role="alert" className="form-problem">
          <ProblemText problem={problem} />
        </div>
      )}
    </div>
  );
}
