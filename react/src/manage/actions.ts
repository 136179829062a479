import type { UserStatus } from "../functions.ts";
import type { Action, UserAction } from "./calls.ts";

// The actions whose buttons open a dialog first.
export const ASKING: ReadonlySet<Action> = new Set(["create", "invite", "revokeInvitation", "update", "role", "ban", "lock", "delete"]);

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
