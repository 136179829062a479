import { useMemo } from "react";
import { useAdminAnswer } from "../data/useAnswer.ts";
import { useFunctions } from "../functions.ts";

const NEWEST = 10;

// Subscribes to the newest entries of the audit log about a user.
export function useHistory(clerkId: string) {
  const { auditLog } = useFunctions();
  const { value, ...rest } = useAdminAnswer(
    auditLog,
    useMemo(() => ({ clerkId, paginationOpts: { numItems: NEWEST, cursor: null } }), [clerkId]),
  );
  return { entries: value?.page.slice(0, NEWEST), ...rest }; // a subscribed page keeps its end, and grows
}
