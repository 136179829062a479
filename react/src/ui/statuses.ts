import type { UserStatus } from "../functions.ts";

// The type makes sure that no status is missing.
export const STATUS_LABELS: Record<UserStatus, string> = {
  active: "Active",
  banned: "Banned",
  deprovisioned: "Deprovisioned",
  locked: "Locked",
};
export const STATUSES = Object.keys(STATUS_LABELS) as UserStatus[];
