import { useEffect, useId, useMemo, useState, type KeyboardEvent } from "react";
import { useAdminAnswer } from "../data/useAnswer.ts";
import { useFunctions } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { SearchField } from "../ui/SearchField.tsx";
import { displayName } from "../users/displayName.ts";

const MOST = 8; // users that are offered
const PAUSE_MS = 150; // in typing, after which it searches
const ID = /^user_\w+$/;
const PERSON = (
  <>
    <circle cx="8" cy="5.5" r="2.75" />
    <path d="M2.75 13.5a5.25 4.75 0 0 1 10.5 0" />
  </>
);

type Props = {
  label: string;
  placeholder: string;
  onPick: (clerkId: string) => void;
};
type Option = { clerkId: string; name: string; more: string | undefined };
type Found = { search: string; users: Option[]; hasFailed: boolean };

// Finds a user by the search of the users, or takes an id: also that of a user who is gone. A combobox with a list.
export function PersonFilter({ label, placeholder, onPick }: Props) {
  const { audit } = useMessages();
  const list = useId();
  const [text, setText] = useState("");
  const [isOpen, setOpen] = useState(false);
  const [active, setActive] = useState(0);
  const [found, setFound] = useState<Found>({ search: "", users: [], hasFailed: false });
  const search = text.trim();
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(setAsked, PAUSE_MS, search);
    return () => clearTimeout(timer);
  }, [search]);
  const isShown = isOpen && search !== "";
  const isLoading = found.search !== search;
  const options = withId(search, found.users);
  const current = Math.min(active, options.length - 1);
  const idOf = (index: number) => `${list}-${index}`;

  const pick = (clerkId: string) => {
    setText("");
    setOpen(false);
    onPick(clerkId);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const picked = options[current];
    if (step !== undefined && options.length > 0) {
      setOpen(true);
      if (isShown) setActive((current + step + options.length) % options.length);
    } else if (event.key === "Enter") {
      const isReady = !isLoading || picked?.name === ""; // not a user whom the text before has found
      if (isShown && picked !== undefined && isReady) pick(picked.clerkId);
    } else if (event.key === "Escape") {
      if (!isShown) setText("");
      setOpen(false);
    } else return;
    event.preventDefault();
  };

  return (
    <SearchField
      icon={PERSON}
      type="text"
      role="combobox"
      aria-label={label}
      aria-expanded={isShown}
      aria-controls={isShown ? list : undefined}
      aria-autocomplete="list"
      aria-activedescendant={isShown && options.length > 0 ? idOf(current) : undefined}
      placeholder={placeholder}
      value={text}
      onChange={(event) => {
        const { value } = event.target;
        setText(value);
        setActive(0);
        setOpen(true);
        const { inputType } = event.nativeEvent as InputEvent;
        if (inputType === "insertFromPaste" && ID.test(value.trim())) pick(value.trim());
      }}
      onKeyDown={onKeyDown}
      onBlur={() => setOpen(false)}
    >
      {search !== "" && asked !== "" && <Finder search={asked} onFound={setFound} />}
      {isShown && (
        <div className="person-options" id={list} role="listbox" aria-label={label} aria-busy={isLoading}>
          {options.map(({ clerkId, name, more }, index) => (
            <div
              key={clerkId}
              id={idOf(index)}
              className="person-option"
              role="option"
              aria-selected={index === current}
              onPointerDown={(event) => event.preventDefault()} // keeps the focus in the box
              onPointerMove={() => setActive(index)}
              onClick={() => pick(clerkId)}
            >
              <bdi className="truncate">{name === "" ? audit.byId(<code>{clerkId}</code>) : name}</bdi>
              {more !== undefined && <bdi className="truncate muted">{more}</bdi>}
            </div>
          ))}
          {options.length === 0 && (
            <div className="person-option muted" role="option" aria-disabled="true" aria-selected="false">
              {isLoading ? audit.searching : found.hasFailed ? audit.searchFailed : audit.noPerson}
            </div>
          )}
        </div>
      )}
    </SearchField>
  );
}

// Returns the options, and first the text itself if it is an id that is not among them. It has no name.
function withId(search: string, users: Option[]): Option[] {
  const isKnown = !ID.test(search) || users.some(({ clerkId }) => clerkId === search);
  return isKnown ? users : [{ clerkId: search, name: "", more: undefined }, ...users];
}

// Asks for the users whom a text finds. It is a component of its own, because the box is shown before there is a Convex.
function Finder({ search, onFound }: { search: string; onFound: (found: Found) => void }) {
  const { getUsers } = useFunctions();
  const args = useMemo(() => ({ search, paginationOpts: { numItems: MOST, cursor: null } }), [search]);
  const { value, error } = useAdminAnswer(getUsers, args);
  const hasFailed = error !== undefined;
  useEffect(() => {
    if (hasFailed) return onFound({ search, users: [], hasFailed });
    if (value === undefined) return;
    const users = value.page.slice(0, MOST).map((user) => {
      const name = displayName(user);
      return { clerkId: user.clerkId, name, more: user.email === name ? undefined : user.email };
    });
    onFound({ search, users, hasFailed });
  }, [search, value, hasFailed, onFound]);
  return null;
}
