// The version of these functions, which is that of the Python package, and what the package asks about them.
import { v, type Infer } from "convex/values";
import { clerkColumns } from "./tables";

export const VERSION = "0.1.0";

export const aboutFunctions = v.object({
  version: v.string(),
  columns: v.array(v.string()), // the columns of a user that a change may name
});

export function about(): Infer<typeof aboutFunctions> {
  return { version: VERSION, columns: [...clerkColumns].sort() };
}
