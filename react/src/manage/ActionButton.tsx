import type { ComponentProps } from "react";
import type { UserSummary } from "../functions.ts";
import type { UserAction } from "./calls.ts";
import { useManaging } from "./context.ts";
import type { Refusals } from "./useRefusals.ts";

type Props = ComponentProps<"button"> & {
  action: UserAction;
  user: UserSummary;
  refusals: Refusals;
  reasonId: string; // the id of the element that says why an action is not possible
};

// The button of an action. If the action is not possible, the button stays and says why.
export function ActionButton({ action, user, refusals: { reason, isRefused }, reasonId, ...props }: Props) {
  const { manager } = useManaging();
  const isOff = isRefused(action);
  return (
    <button
      {...props}
      type="button"
      aria-disabled={isOff}
      aria-describedby={isOff ? reasonId : undefined}
      title={isOff ? (reason ?? undefined) : undefined}
      onClick={() => {
        if (!isOff) manager.choose(action, user);
      }}
    />
  );
}
