import { useEffect, useRef, useState } from "react";
import { useMessages } from "../messages/messages.ts";
import { Icon } from "../ui/Icon.tsx";
import { useLatest } from "../ui/useLayout.ts";
import { useSlashKey } from "../ui/useSlashKey.ts";

const DEBOUNCE_MS = 150;
const LONGEST_SEARCH = 200; // characters

type Props = { search: string; onSearch: (search: string) => void };

// Searches while somebody types. Escape clears the text; if it is empty, Escape leaves the box.
export function SearchBox({ search, onSearch }: Props) {
  const { users } = useMessages();
  const [text, setText] = useState(search);
  const [known, setKnown] = useState(search);
  const input = useRef<HTMLInputElement>(null);
  useSlashKey(input);

  // The search was changed elsewhere: by the back button or by "clear filters".
  if (search !== known) {
    setKnown(search);
    setText(search);
  }

  const send = useLatest(onSearch);
  useEffect(() => {
    if (text === search) return;
    const timer = setTimeout(() => send(text), DEBOUNCE_MS);
    return () => clearTimeout(timer);
  }, [text, search, send]);

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.nativeEvent.isComposing || event.key !== "Escape") return;
    event.preventDefault();
    if (text === "") input.current?.blur();
    setText("");
    if (search !== "") onSearch("");
  };

  return (
    <div className="search">
      <Icon>
        <circle cx="7" cy="7" r="4.25" />
        <path d="m10.25 10.25 3.25 3.25" />
      </Icon>
      <input
        ref={input}
        type="search"
        aria-label={users.search}
        aria-keyshortcuts="/"
        placeholder={users.searchHint}
        autoComplete="off"
        spellCheck={false}
        dir="auto"
        maxLength={LONGEST_SEARCH}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <kbd aria-hidden="true">/</kbd>
    </div>
  );
}
