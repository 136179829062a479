// Recognizes the errors of access that convex/clerk/access.ts throws.
import { ConvexError } from "convex/values";
import type { AccessDenied } from "../functions.ts";

export type Reason = AccessDenied["reason"];

export function deniedReason(error: unknown): Reason | null {
  if (!(error instanceof ConvexError)) return null;
  const data = error.data as Partial<AccessDenied> | null;
  return data?.code === "access_denied" ? (data.reason ?? null) : null;
}
