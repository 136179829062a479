import { useId } from "react";
import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { useManaging, useObstacle } from "./context.ts";

export function NewUserButton() {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const { isOn } = useOptions();
  const { manage } = useMessages();
  const id = useId();
  if (!isOn("create")) return null;
  return (
    <span className="new-user">
      <button
        className="button is-primary"
        type="button"
        aria-disabled={obstacle !== null}
        aria-describedby={obstacle === null ? undefined : id}
        onClick={() => {
          if (obstacle === null) manager.set({ dialog: { kind: "new" } });
        }}
      >
        {manage.label.create}
      </button>
      {obstacle !== null && (
        <span className="new-user-reason" role="tooltip" id={id}>
          {obstacle}
        </span>
      )}
    </span>
  );
}
