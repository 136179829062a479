import { useId } from "react";
import { useOptions } from "../admin/options.ts";
import { useManaging, useObstacle } from "./context.ts";
import { WORDS } from "./words.tsx";

export function NewUserButton() {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const { isOn } = useOptions();
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
        {WORDS.create.label}
      </button>
      {obstacle !== null && (
        <span className="new-user-reason" role="tooltip" id={id}>
          {obstacle}
        </span>
      )}
    </span>
  );
}
