import { useOptions } from "../admin/options.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { CallNews } from "./CallNews.tsx";
import { readSynced, syncNow } from "./sessionCalls.ts";
import { useAsk } from "./useAsk.ts";

// Writes the user as Clerk has it. It stays in the details when the row appears or disappears by it.
export function SyncNow({ clerkId }: { clerkId: string }) {
  const { isOn } = useOptions();
  const { sheet } = useMessages();
  const { number } = useFormats();
  const { ask, busy, isOff, obstacle, setTold, wait, ...news } = useAsk();
  if (!isOn("sync")) return null;

  const sync = async () => {
    const found = await ask("sync", syncNow(clerkId), readSynced);
    if (found !== undefined) setTold(found.isDeleted ? sheet.syncedDeleted : sheet.synced(found.outcome));
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
        {busy !== null ? sheet.asking : wait > 0 ? sheet.syncIn(number(wait)) : sheet.syncNow}
      </button>
      <CallNews obstacle={obstacle} {...news} />
    </div>
  );
}
