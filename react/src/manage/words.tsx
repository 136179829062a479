import type { ReactNode } from "react";
import type { UserStatus } from "../functions.ts";
import type { Action, UserAction } from "./calls.ts";
import type { Confirmed } from "./bulk.ts";
import type { Asked } from "./Manager.ts";

type Words = { label: string; progress: string; participle: string; asks: boolean };

// asks: the button opens a dialog first.
export const WORDS: Record<Action, Words> = {
  create: { label: "New user", progress: "Creating…", participle: "created", asks: true },
  update: { label: "Edit", progress: "Saving…", participle: "changed", asks: true },
  role: { label: "Change role", progress: "Saving…", participle: "changed", asks: true },
  ban: { label: "Ban", progress: "Banning…", participle: "banned", asks: true },
  unban: { label: "Unban", progress: "Unbanning…", participle: "unbanned", asks: false },
  lock: { label: "Lock", progress: "Locking…", participle: "locked", asks: true },
  unlock: { label: "Unlock", progress: "Unlocking…", participle: "unlocked", asks: false },
  delete: { label: "Delete", progress: "Deleting…", participle: "deleted", asks: true },
};

export const CONSEQUENCES: Record<Asked, string> = {
  ban: "Signs this account out everywhere. It cannot sign in again until it is unbanned.",
  lock: "This account cannot sign in until it is unlocked, or until the time in Clerk’s settings is over. Where it is signed in, it stays so.",
  delete: "Deletes the account at Clerk and here, and signs it out everywhere. This is final: nothing brings it back.",
};

// The same for several users.
export const CONSEQUENCES_FOR_ALL: Record<Confirmed, string> = {
  ban: "Signs these accounts out everywhere. They cannot sign in again until they are unbanned.",
  lock: "These accounts cannot sign in until they are unlocked, or until the time in Clerk’s settings is over. Where they are signed in, they stay so.",
  role: "Replaces the role of each. Without a text the role is removed.",
  delete: "Deletes these accounts at Clerk and here, and signs them out everywhere. This is final: nothing brings them back.",
};

// The actions that change a status. A deprovisioned user can be banned, because the ban stays if the directory adds the
// user again; a lock would end before that.
const STANDING: Record<UserStatus, UserAction[]> = {
  active: ["ban", "lock"],
  banned: ["unban"],
  deprovisioned: ["ban"],
  locked: ["ban", "unlock"],
};

// Returns the actions for the status of a row, which is the first of banned, deprovisioned and locked that applies, in
// groups, without those that the app has switched off.
export function actionsFor(status: UserStatus, isOn: (action: UserAction) => boolean): UserAction[][] {
  const groups: UserAction[][] = [["update", "role"], STANDING[status], ["delete"]];
  return groups.map((group) => group.filter(isOn)).filter((group) => group.length > 0);
}

const OWN = new Set<UserAction>(["role", "ban", "lock", "delete"]);

// Returns whether admins are refused this action on their own account. So the last admin, who would be the caller,
// always stays.
export function isRefusedToOneself(action: UserAction): boolean {
  return OWN.has(action);
}

export function Subject({ action, name }: { action: Action; name: string }): ReactNode {
  return (
    <>
      {action === "role" && "The role of "}
      <bdi>{name}</bdi>
    </>
  );
}
