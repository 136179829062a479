import { ConvexError } from "convex/values";
import type { Messages } from "../messages/messages.ts";

// Returns the part of an error message that is useful to a person, in one line.
export function errorReason(error: Error, ui: Messages["ui"]): string {
  if (error instanceof ConvexError) {
    const { data } = error as ConvexError<any>;
    if (typeof data === "string") return data;
    if (typeof data?.message === "string") return data.message;
  }
  const [first = ""] = error.message.split("\n");
  // [CONVEX Q(users:getUsers)] [Request ID: 0123456789abcdef] Server Error
  const reason = first.replace(/^(\[(CONVEX|Request ID)[^\]]*\]\s*)+/, "").trim() || ui.noReason;
  const request = /\[Request ID: (\w+)\]/.exec(first)?.[1];
  return request === undefined ? reason : ui.reasonOfRequest(reason, request);
}
