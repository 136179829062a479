import type { SkeletonCell } from "../ui/Skeleton.tsx";

// The columns of a row while it loads.
export const USER_CELLS: SkeletonCell[] = [
  { className: "col-user", colSpan: 2, shape: "user" },
  { className: "col-status", shape: "word" },
  { className: "col-role", shape: "word" },
  { className: "col-time col-joined", shape: "word" },
  { className: "col-time col-sign-in", shape: "word" },
];

export const MANAGED_USER_CELLS: SkeletonCell[] = [...USER_CELLS, { className: "col-actions", shape: "none" }];
