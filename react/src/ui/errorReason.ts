import { ConvexError } from "convex/values";

// Returns the part of an error message that is useful to a person, in one line.
export function errorReason(error: Error): string {
  if (error instanceof ConvexError) {
    const { data } = error as ConvexError<any>;
    if (typeof data === "string") return data;
    if (typeof data?.message === "string") return data.message;
  }
  const [first = ""] = error.message.split("\n");
  // [CONVEX Q(users:getUsers)] [Request ID: 0123456789abcdef] Server Error
  const reason = first.replace(/^(\[(CONVEX|Request ID)[^\]]*\]\s*)+/, "").trim() || "No reason was given";
  const request = /\[Request ID: (\w+)\]/.exec(first)?.[1];
  return request === undefined ? reason : `${reason} (request ${request})`;
}
