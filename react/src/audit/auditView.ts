import type { AuditOutcome } from "../functions.ts";

// The outcomes of changes, then the outcomes of admins' actions. The type makes sure that none is missing.
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
export const OUTCOMES = Object.keys(OUTCOME_LABELS) as AuditOutcome[];

export type AuditView = { clerkId: string | null; outcome: AuditOutcome | null };

// Reads the state of the log from the URL: ?user= &outcome=. Invalid values are ignored.
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
