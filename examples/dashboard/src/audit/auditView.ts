import type { AuditOutcome } from "../functions.ts";

// Of changes that were applied, then of what admins attempted.
export const OUTCOMES = [
  "created",
  "updated",
  "deleted",
  "reset",
  "merged",
  "started",
  "done",
  "denied",
  "failed",
] as const satisfies readonly AuditOutcome[];

export const OUTCOME_LABELS: Record<AuditOutcome, string> = {
  created: "Created",
  updated: "Updated",
  deleted: "Deleted",
  reset: "Reset",
  merged: "Merged",
  started: "Started",
  done: "Done",
  denied: "Denied",
  failed: "Failed",
};

export type AuditView = { clerkId: string | null; outcome: AuditOutcome | null };

// ?user= &outcome=. Whatever else is there is ignored.
export function readView(params: URLSearchParams): AuditView {
  return {
    clerkId: params.get("user")?.trim() || null,
    outcome: OUTCOMES.find((outcome) => outcome === params.get("outcome")) ?? null,
  };
}

export function writeView({ clerkId, outcome }: AuditView): URLSearchParams {
  const params = new URLSearchParams();
  if (clerkId !== null) params.set("user", clerkId);
  if (outcome !== null) params.set("outcome", outcome);
  return params;
}
