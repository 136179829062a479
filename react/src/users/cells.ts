import type { SkeletonCell } from "../ui/Skeleton.tsx";

// The columns of a row while it loads.
const USER_CELLS: SkeletonCell[] = [
  { className: "col-user", colSpan: 2, shape: "user" },
  { className: "col-status", shape: "word" },
  { className: "col-role", shape: "word" },
  { className: "col-time col-joined", shape: "word" },
  { className: "col-time col-sign-in", shape: "word" },
];

const OWN: SkeletonCell = { className: "col-own", shape: "word" };
const CHECK: SkeletonCell = { className: "col-check", shape: "none" };
const ACTIONS: SkeletonCell = { className: "col-actions", shape: "none" };

export function userCells(ownColumns: number, isManaged: boolean): SkeletonCell[] {
  const cells = [...USER_CELLS, ...Array.from({ length: ownColumns }, () => OWN)];
  return isManaged ? [CHECK, ...cells, ACTIONS] : cells;
}
