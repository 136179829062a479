import { useId, useRef, type KeyboardEvent } from "react";
import { useLatest, useLayout } from "../ui/useLayout.ts";
import type { UserSummary } from "../functions.ts";
import { displayName } from "../users/displayName.ts";
import { useMessages } from "../messages/messages.ts";
import { useOptions } from "../admin/options.ts";
import { ActionButton } from "./ActionButton.tsx";
import { useManaged, useManaging } from "./context.ts";
import { useRefusals } from "./useRefusals.ts";
import { actionsFor, ASKING } from "./actions.ts";

const GAP = 4; // pixels between the menu and its button or the edge of the window

export function Menu() {
  const menu = useManaged((state) => state.menu);
  return menu && <OpenMenu key={menu.opening} user={menu.user} anchor={menu.anchor} />;
}

type Props = { user: UserSummary; anchor: HTMLElement };

function OpenMenu({ user, anchor }: Props) {
  const { manager } = useManaging();
  const { isOn } = useOptions();
  const { list, manage } = useMessages();
  const refusals = useRefusals(user);
  const panel = useRef<HTMLDivElement>(null);
  const id = useId();
  const name = displayName(user);

  const close = useLatest(() => manager.set({ menu: null }));
  useLayout(() => {
    const element = panel.current!;
    anchor.focus({ preventScroll: true }); // Safari does not focus a clicked button; the focus returns to it when the menu closes
    element.showPopover();
    place(element, anchor);
    items(element)[0]?.focus({ preventScroll: true });
    const onToggle = (event: ToggleEvent) => event.newState === "closed" && close();
    const { top } = anchor.getBoundingClientRect();
    const onResize = () => close();
    const onScroll = () => Math.abs(anchor.getBoundingClientRect().top - top) > 1 && close();
    element.addEventListener("toggle", onToggle);
    addEventListener("resize", onResize);
    addEventListener("scroll", onScroll, true); // also of an element in which the app scrolls
    return () => {
      element.removeEventListener("toggle", onToggle);
      removeEventListener("resize", onResize);
      removeEventListener("scroll", onScroll, true);
      element.hidePopover();
    };
  }, [anchor, close]);

  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const all = items(panel.current!);
    const now = all.indexOf(document.activeElement as HTMLElement);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      all.at(next % all.length)?.focus();
    } else if (event.key === "Tab") {
      manager.set({ menu: null }); // Tab continues from the button
    }
  };

  return (
    <div ref={panel} className="menu-panel row-menu" popover="auto" onKeyDown={onKeyDown}>
      <p className="row-menu-name truncate" dir="auto" title={name} aria-hidden="true">
        {name}
      </p>
      <div role="menu" aria-label={list.actionsFor(name)}>
        {actionsFor(user.status, isOn).map((group, index) => (
          <div key={index} className="row-menu-group" role="group">
            {group.map((action) => (
              <ActionButton
                key={action}
                action={action}
                user={user}
                refusals={refusals}
                reasonId={id}
                className={action === "delete" ? "menu-item is-danger" : "menu-item"}
                role="menuitem"
                tabIndex={-1}
              >
                {manage.label[action]}
                {ASKING.has(action) && "…"}
              </ActionButton>
            ))}
          </div>
        ))}
      </div>
      {refusals.reason !== null && (
        <p className="reason row-menu-reason" id={id}>
          {refusals.reason}
        </p>
      )}
    </div>
  );
}

function items(panel: HTMLElement): HTMLElement[] {
  return [...panel.querySelectorAll<HTMLElement>("[role=menuitem]")];
}

// Places the menu under its button, or above it if there is no room, with the right edges aligned.
function place(panel: HTMLElement, anchor: HTMLElement): void {
  const button = anchor.getBoundingClientRect();
  const { offsetHeight, offsetWidth } = panel;
  const fits = button.bottom + GAP + offsetHeight + GAP <= innerHeight;
  const top = Math.max(GAP, fits ? button.bottom + GAP : button.top - GAP - offsetHeight);
  const left = Math.max(GAP, button.right - offsetWidth);
  panel.style.setProperty("top", `${top}px`, "important"); // as the stylesheet is
  panel.style.setProperty("left", `${left}px`, "important");
}
