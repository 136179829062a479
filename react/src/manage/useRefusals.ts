import type { UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import type { UserAction } from "./calls.ts";
import { useManaged, useManaging, useObstacle } from "./context.ts";
import { isUnderWay } from "./Manager.ts";
import { isRefusedToOneself } from "./actions.ts";

export type Refusals = { reason: string | null; isRefused: (action: UserAction) => boolean };

// Returns why actions on this user are not possible. An action that the service would refuse is not offered.
export function useRefusals(user: UserSummary): Refusals {
  const { myId } = useManaging();
  const { manage } = useMessages();
  const obstacle = useObstacle();
  const pending = useManaged((state) => state.pending.get(user.clerkId));
  if (obstacle !== null) return { reason: obstacle, isRefused: () => true };
  if (pending !== undefined && (!pending.isAnswered || isUnderWay(pending, user))) {
    return { reason: manage.progress[pending.call.action], isRefused: () => true };
  }
  if (user.clerkId !== myId) return { reason: null, isRefused: () => false };
  return {
    reason: manage.itIsYou,
    isRefused: isRefusedToOneself,
  };
}
