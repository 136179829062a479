import type { SkeletonCell } from "../ui/Skeleton.tsx";

// The columns of an entry while it loads.
export const AUDIT_CELLS: SkeletonCell[] = [
  "when",
  "outcome",
  "who",
  "fields",
  "action",
  "source",
  "actor",
].map((name) => ({ className: `col-${name}`, shape: "word" }));
