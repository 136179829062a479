import type { SkeletonCell } from "../ui/Skeleton.tsx";

export const AUDIT_COLUMNS = [
  { className: "col-when", heading: "when" },
  { className: "col-outcome", heading: "outcome" },
  { className: "col-who", heading: "user" },
  { className: "col-what", heading: "what" },
  { className: "col-source", heading: "source" },
  { className: "col-actor", heading: "by" },
  { className: "col-details", heading: "details" },
] as const;

// The columns of an entry while it loads.
export const AUDIT_CELLS = AUDIT_COLUMNS.map(
  ({ className, heading }): SkeletonCell => ({ className, shape: heading === "details" ? "none" : "word" }),
);
