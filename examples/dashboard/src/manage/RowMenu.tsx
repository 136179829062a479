import { useLayoutEffect, useRef } from "react";
import type { UserSummary } from "../functions.ts";
import { Icon } from "../ui/Icon.tsx";
import { displayName } from "../users/displayName.ts";
import { useManaged, useManaging } from "./context.ts";

// The button at the end of a row. There is one menu for all of them.
export function RowMenu({ user }: { user: UserSummary }) {
  const { manager } = useManaging();
  const isOpen = useManaged((state) => state.menu?.user.clerkId === user.clerkId);
  const button = useRef<HTMLButtonElement>(null);

  // The row goes, by what was just done in it or otherwise: whoever is in it goes on in the next.
  useLayoutEffect(() => {
    const element = button.current!;
    return () => {
      if (document.activeElement !== element) return;
      const row = element.closest("tr");
      const next = row?.nextElementSibling ?? row?.previousElementSibling;
      next?.querySelector<HTMLElement>(".row-menu-button")?.focus();
    };
  }, []);

  const open = () => manager.set({ menu: { user, anchor: button.current! } });

  return (
    <button
      ref={button}
      className="icon-button row-menu-button"
      type="button"
      aria-label={`Actions for ${displayName(user)}`}
      aria-haspopup="menu"
      aria-expanded={isOpen}
      onClick={open} // an open one closes by itself, as by every click outside of it
      onKeyDown={(event) => {
        if (event.key !== "ArrowDown") return;
        event.preventDefault();
        event.stopPropagation(); // and not to the next row
        open();
      }}
    >
      <Icon size={16}>
        <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth="2" />
      </Icon>
    </button>
  );
}
