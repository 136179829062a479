import { useState } from "react";
import { useOptions } from "../admin/options.ts";
import type { UserDetails } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { CallNews } from "./CallNews.tsx";
import { MetadataForm } from "./MetadataForm.tsx";
import { readSynced, readUpdated, syncNow, updateMetadata } from "./sessionCalls.ts";
import { useAsk } from "./useAsk.ts";

// Edits the public metadata, in the details.
export function EditMetadata({ user }: { user: UserDetails }) {
  const { isOn } = useOptions();
  const { forms } = useMessages();
  const { ask, busy, clear, obstacle, problem, setTold, told, wait } = useAsk();
  const [isOpen, setOpen] = useState(false);
  const [isNewer, setNewer] = useState(false); // true: Clerk had a newer state than Convex
  if (!isOn("metadata")) return null;
  // The role comes from the metadata. So the app keeps the metadata out of Convex.
  if (user.publicMetadata === undefined && user.role !== undefined) {
    return <p className="reason">{forms.metadataUnknown}</p>;
  }
  const isOff = busy !== null || obstacle !== null;

  // Convex may be behind Clerk, so it gets Clerk's state first. If that is new, the form shows what it changes.
  const save = async (patch: string) => {
    setNewer(false);
    if (isOn("sync")) {
      const found = await ask("save", syncNow(user.clerkId), readSynced);
      if (found === undefined) return;
      if (found.outcome === "updated") return setNewer(true);
    }
    const saved = await ask("save", updateMetadata(user.clerkId, patch), readUpdated);
    if (saved === undefined) return;
    setOpen(false);
    setTold(`${forms.metadataSaved} ${saved.news}`.trim());
  };

  return (
    <div className="edit-metadata">
      <button
        className="button"
        type="button"
        aria-disabled={isOff}
        title={obstacle ?? undefined}
        onClick={() => {
          if (isOff) return;
          clear();
          setNewer(false);
          setOpen(true);
        }}
      >
        {busy === null ? forms.editMetadata : forms.metadataSaving}
      </button>
      <CallNews told={told} obstacle={isOpen ? null : obstacle} problem={isOpen ? null : problem} />
      {isOpen && (
        <MetadataForm
          user={user}
          isSending={busy !== null}
          problem={problem}
          wait={wait}
          isNewer={isNewer}
          onSave={(patch) => void save(patch)}
          onClose={() => setOpen(false)}
        />
      )}
    </div>
  );
}
