import { useRef, type KeyboardEvent } from "react";
import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { SearchField } from "../ui/SearchField.tsx";
import { useDraft } from "../ui/useDraft.ts";
import { useSlashKey } from "../ui/useSlashKey.ts";

const PAUSE_MS = 150;

type Props = { search: string; onSearch: (search: string) => void };

// Searches while somebody types. Escape clears the text; if it is empty, Escape leaves the box.
export function SearchBox({ search, onSearch }: Props) {
  const { keys } = useOptions();
  const { users } = useMessages();
  const { text, put, field } = useDraft(search, onSearch, PAUSE_MS);
  const input = useRef<HTMLInputElement>(null);
  useSlashKey(input);

  const onKeyDown = (event: KeyboardEvent) => {
    field.onKeyDown(event);
    if (event.nativeEvent.isComposing || event.key !== "Escape") return;
    event.preventDefault();
    if (text === "") input.current?.blur();
    else put("");
  };

  return (
    <SearchField
      {...field}
      inputRef={input}
      aria-label={users.search}
      aria-keyshortcuts={keys ? "/" : undefined}
      placeholder={users.searchHint}
      onBlur={undefined} // the pause is short
      onKeyDown={onKeyDown}
    >
      {keys && <kbd aria-hidden="true">/</kbd>}
    </SearchField>
  );
}
