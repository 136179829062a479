import { useEffect, useRef } from "react";
import { useLayout } from "../ui/useLayout.ts";
import type { UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { useOptions } from "../admin/options.ts";
import { Icon } from "../ui/Icon.tsx";
import { displayName } from "../users/displayName.ts";
import { useHold } from "../users/HoldContext.ts";
import { useManaged, useManaging } from "./context.ts";
import { actionsFor } from "./actions.ts";

type Props = { user: UserSummary; isGone: boolean };

// The button at the end of a row. All rows share one menu, and while it is open, the list holds still. If the user leaves
// the list, the menu closes.
export function RowMenu({ user, isGone }: Props) {
  const { isOn } = useOptions();
  const holding = useHold();
  const isOpen = useManaged((state) => state.menu?.user.clerkId === user.clerkId);
  useEffect(() => {
    if (!isOpen) return;
    holding?.hold.set("menu", true);
    return () => holding?.hold.set("menu", false);
  }, [isOpen, holding]);
  if (isGone && !isOpen) return null;
  if (actionsFor(user.status, isOn).length === 0) return null;
  return <MenuButton user={user} isGone={isGone} isOpen={isOpen} />;
}

function MenuButton({ user, isGone, isOpen }: Props & { isOpen: boolean }) {
  const { manager } = useManaging();
  const { list } = useMessages();
  const holding = useHold();
  const button = useRef<HTMLButtonElement>(null);
  const name = displayName(user);
  useEffect(() => {
    if (!isOpen || !isGone) return;
    button.current!.focus(); // from where it moves to the next row
    manager.set({ menu: null });
    holding?.tell(list.menuClosed(name));
  }, [isOpen, isGone, manager, holding, list, name]);

  // When the row disappears, the focus moves to the next row.
  useLayout(() => {
    const element = button.current;
    return () => {
      if (element === null || document.activeElement !== element) return;
      const row = element.closest("tr");
      const next = row?.nextElementSibling ?? row?.previousElementSibling;
      next?.querySelector<HTMLElement>(".row-menu-button")?.focus();
    };
  }, []);

  const open = () => manager.openMenu(user, button.current!);
  return (
    <button
      ref={button}
      className="icon-button row-menu-button"
      type="button"
      aria-label={list.actionsFor(name)}
      aria-haspopup="menu"
      aria-expanded={isOpen}
      onClick={(event) => {
        const isByMouse = event.detail > 0;
        if (!(isByMouse && isOpen)) open(); // the same click has closed an open menu already
      }}
      onKeyDown={(event) => {
        if (event.key !== "ArrowDown") return;
        event.preventDefault();
        event.stopPropagation(); // the row would move the focus to the next row
        open();
      }}
    >
      <Icon size={16}>
        <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth="2" />
      </Icon>
    </button>
  );
}
