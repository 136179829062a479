import { useState } from "react";
import { useOptions } from "../admin/options.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { CallNews } from "./CallNews.tsx";
import type { Problem } from "./calls.ts";
import { useManaging, useObstacle } from "./context.ts";
import { useWait } from "./Notices.tsx";
import { readSynced, syncNow } from "./sessionCalls.ts";

// Writes the user as Clerk has it. It stays in the details when the row appears or disappears by it.
export function SyncNow({ clerkId }: { clerkId: string }) {
  const { manager } = useManaging();
  const { isOn } = useOptions();
  const { sheet } = useMessages();
  const { number } = useFormats();
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
    if (!answer.isDone) return setProblem(answer);
    setTold(answer.value.isDeleted ? sheet.syncedDeleted : sheet.synced(answer.value.outcome));
  };

  return (
    <div className="sync-now">
      <button
        className="button"
        type="button"
        aria-disabled={isOff}
        title={obstacle ?? sheet.syncTitle}
        onClick={() => !isOff && void sync()}
      >
        {isBusy ? sheet.asking : wait > 0 ? sheet.syncIn(number(wait)) : sheet.syncNow}
      </button>
      <CallNews told={told} obstacle={obstacle} problem={problem} />
    </div>
  );
}
