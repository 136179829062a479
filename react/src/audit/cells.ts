import type { SkeletonCell } from "../ui/Skeleton.tsx";

export const AUDIT_COLUMNS = [
  { className: "col-when", heading: "When" },
  { className: "col-outcome", heading: "Outcome" },
  { className: "col-who", heading: "User" },
  { className: "col-what", heading: "What" },
  { className: "col-source", heading: "Source" },
  { className: "col-actor", heading: "By" },
];

// The columns of an entry while it loads.
export const AUDIT_CELLS = AUDIT_COLUMNS.map(({ className }): SkeletonCell => ({ className, shape: "word" }));
