// One action for several users, in requests of at most 50.
import type { UserSummary } from "../functions.ts";
import type { Done, Problem, Request, UserCall } from "./calls.ts";

export type BulkAction = "ban" | "unban" | "lock" | "unlock" | "role" | "delete";
export type Confirmed = Exclude<BulkAction, "unban" | "unlock">; // the actions that open a dialog first
export const OFFERED = ["ban", "unban", "lock", "role", "delete"] as const satisfies BulkAction[];

export const MOST = 50; // users of a request

// One request. `role` is the new one; null: none.
export type Step = { action: BulkAction; role: string | null; users: readonly UserSummary[] };
export type Result = { user: UserSummary; isDone: boolean; synced: boolean; message: string | null; isCancelled?: boolean }; // message null: the service did not answer for the user
export type Job = {
  action: BulkAction;
  total: number;
  results: readonly Result[]; // the row of the user is that from before
  isRunning: boolean;
  resumesAt: number; // until then the service takes no more requests; 0: it does
  canUndo: boolean;
};

type Answered = Pick<Done, "synced" | "message"> & { id: string; isDone: boolean };

export function stepsOf(action: BulkAction, role: string | null, users: readonly UserSummary[]): Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < users.length; at += MOST) steps.push({ action, role, users: users.slice(at, at + MOST) });
  return steps;
}

export function requestOf({ action, role, users }: Step): Request {
  const user_ids = users.map((user) => user.clerkId);
  const body =
    action === "role" ? { action: "update_metadata", user_ids, public_metadata: { role } } : { action, user_ids };
  return { method: "POST", path: "/bulk", body };
}

export function readResults(body: any): Answered[] | undefined {
  if (!Array.isArray(body?.results)) return undefined;
  return body.results.map(({ id, status, synced, message, error }: any) => ({
    id,
    isDone: status === 200,
    synced: synced === true,
    message: error?.message ?? message ?? "",
  }));
}

// Returns the results of a step: those of its answer, or the problem that all its users have.
export function resultsOf({ users }: Step, answered: readonly Answered[] | Problem): Result[] {
  return users.map((user) => {
    if ("code" in answered) return { user, isDone: false, synced: false, message: answered.message };
    const found = answered.find(({ id }) => id === user.clerkId);
    if (found === undefined) return { user, isDone: false, synced: false, message: null };
    return { user, isDone: found.isDone, synced: found.synced, message: found.message };
  });
}

// Returns the results of a step that was cancelled before it was sent.
export function cancelledOf({ users }: Step): Result[] {
  return users.map((user) => ({ user, isDone: false, synced: false, message: null, isCancelled: true }));
}

// Waits for a time, or until the signal.
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, Math.max(0, ms));
    signal.addEventListener("abort", end);
  });
}

export function callOf({ action, role }: Step, { clerkId }: UserSummary): UserCall {
  return action === "role" ? { action, clerkId, role } : { action, clerkId };
}

// Returns whether the row shows that the action changes something. Clerk does a second ban, too, and who was banned or
// locked before stays so when it is taken back. A row that is banned or deprovisioned does not say whether the user is locked.
export function isChange(action: "ban" | "lock", { status }: UserSummary): boolean {
  return action === "ban" ? status !== "banned" : status === "active";
}

// Returns what takes back what was done.
export function undoOf({ action, results }: Job): Step[] {
  const users = results.filter(({ isDone }) => isDone).map(({ user }) => user);
  if (action === "ban" || action === "lock") return stepsOf(`un${action}`, null, users.filter((user) => isChange(action, user)));
  if (action !== "role") return [];
  const roles = [...new Set(users.map((user) => user.role ?? null))];
  return roles.flatMap((role) => stepsOf("role", role, users.filter((user) => (user.role ?? null) === role)));
}
