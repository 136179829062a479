import type { SkeletonCell } from "../ui/Skeleton.tsx";

// The columns of an entry while it loads.
export const AUDIT_CELLS: SkeletonCell[] = [
  "when",
  "outcome",
  "who",
  "what",
  "source",
  "actor",
].map((name) => ({ className: `col-${name}`, shape: "word" }));
