import { ConvexError } from "convex/values";

// What a person can use of an error, in one line.
export function errorReason(error: Error): string {
  if (error instanceof ConvexError) {
    const { data } = error as ConvexError<any>;
    if (typeof data === "string") return data;
    if (typeof data?.message === "string") return data.message;
  }
  const [first = ""] = error.message.split("\n");
  const reason = first.replace(/^\[CONVEX [^\]]*\]\s*/, "").trim();
  return reason || "No reason was given.";
}
