import type { UserStatus } from "../functions.ts";

export const STATUSES = ["active", "banned", "deprovisioned", "locked"] as const satisfies UserStatus[];
