import type { MouseEvent, RefObject } from "react";
import { useMessages } from "../messages/messages.ts";
import { focusNear } from "../ui/focus.ts";
import { Icon } from "../ui/Icon.tsx";
import type { ChangeView } from "./Filters.tsx";
import { useFilterTexts } from "./useFilterTexts.ts";
import { EVERYONE, type UsersView } from "./usersView.ts";

type Props = { view: UsersView; onChange: ChangeView; button: RefObject<HTMLButtonElement | null> };

// The filters that are on. Each can be removed.
export function FilterChips({ view, onChange, button }: Props) {
  const { filters } = useMessages();
  const texts = useFilterTexts(view);
  if (texts.length === 0) return null;

  const remove = (event: MouseEvent<HTMLElement>, change: Partial<UsersView>) => {
    focusNear(event.currentTarget, () => button.current?.focus());
    onChange(change);
  };
  return (
    <div className="chips">
      <ul aria-label={filters.chips}>
        {texts.map(({ name, label, value }) => (
          <li key={name}>
            <button
              className="chip"
              type="button"
              aria-label={filters.remove(label, value)}
              onClick={(event) => remove(event, { [name]: null })}
            >
              <span className="muted">{label}</span>{" "}
              <bdi className="truncate">{value}</bdi>
              <Icon size={12}>
                <path d="m4 4 8 8m0-8-8 8" />
              </Icon>
            </button>
          </li>
        ))}
      </ul>
      <button className="link-button" type="button" onClick={(event) => remove(event, EVERYONE)}>
        {filters.clear}
      </button>
    </div>
  );
}
