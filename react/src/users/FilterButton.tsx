import { useId, useRef, useState, type FocusEvent, type ReactNode, type RefObject } from "react";
import { useOptions } from "../admin/options.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { Icon } from "../ui/Icon.tsx";
import { useDraft } from "../ui/useDraft.ts";
import { useLatest, useLayout } from "../ui/useLayout.ts";
import type { ChangeView } from "./Filters.tsx";
import { textOf, useFilterTexts } from "./useFilterTexts.ts";
import { EVERYONE, readWhen, writeWhen, type UsersView, type When } from "./usersView.ts";

const GAP = 4; // pixels between the panel and its button
const EDGE = 8; // pixels between the panel and the edge of the window

type Props = { view: UsersView; onChange: ChangeView };

// Opens the filters. A choice is applied at once.
export function FilterButton({ anchor, ...props }: Props & { anchor: RefObject<HTMLButtonElement | null> }) {
  const { filters } = useMessages();
  const { number } = useFormats();
  const [isOpen, setOpen] = useState(false);
  const wasOpen = useRef(false); // when the pointer came down: by that alone the panel closes
  const active = useFilterTexts(props.view).length;
  return (
    <>
      <button
        ref={anchor}
        className="button filter-button"
        type="button"
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        onPointerDown={() => {
          wasOpen.current = isOpen;
        }}
        onClick={() => {
          setOpen(!isOpen && !wasOpen.current);
          wasOpen.current = false;
        }}
      >
        <Icon>
          <path d="M2 4h12M4.5 8h7M6.5 12h3" />
        </Icon>
        {filters.filter}
        {active > 0 && (
          <span className="filter-count">
            <span aria-hidden="true">{number(active)}</span>
            <span className="visually-hidden">{filters.active(active, number(active))}</span>
          </span>
        )}
      </button>
      {isOpen && <Panel {...props} anchor={anchor} onClose={() => setOpen(false)} />}
    </>
  );
}

type PanelProps = Props & { anchor: RefObject<HTMLButtonElement | null>; onClose: () => void };

function Panel({ view, onChange, anchor, onClose }: PanelProps) {
  const { filters } = useMessages();
  const panel = useRef<HTMLDivElement>(null);
  const close = useLatest(onClose);

  useLayout(() => {
    const element = panel.current!;
    const put = () => place(element, anchor.current!);
    const onToggle = (event: ToggleEvent) => event.newState === "closed" && close();
    anchor.current!.focus({ preventScroll: true }); // Safari does not focus a clicked button; the focus returns to it
    element.showPopover();
    put();
    element.querySelector<HTMLElement>("select")!.focus({ preventScroll: true });
    element.addEventListener("toggle", onToggle);
    addEventListener("resize", put);
    addEventListener("scroll", put, true); // also of an element in which the app scrolls
    const sizes = new ResizeObserver(put);
    sizes.observe(element);
    return () => {
      element.removeEventListener("toggle", onToggle);
      removeEventListener("resize", put);
      removeEventListener("scroll", put, true);
      sizes.disconnect();
      element.hidePopover();
    };
  }, [anchor, close]);

  // Closes the panel when Tab moves the focus on into the page, which the panel would cover.
  const onBlur = ({ relatedTarget }: FocusEvent) => {
    const isOutside = relatedTarget !== null && relatedTarget !== anchor.current && !panel.current!.contains(relatedTarget);
    if (isOutside) onClose();
  };

  return (
    <div ref={panel} className="menu-panel filter-panel" popover="auto" role="dialog" aria-label={filters.panel} onBlur={onBlur}>
      <RoleChoice role={view.role} onPick={(role) => onChange({ role })} />
      <Choice
        label={filters.address}
        value={view.verified === null ? "" : String(view.verified)}
        choices={[
          ["", filters.any],
          ["true", filters.verified],
          ["false", filters.unverified],
        ]}
        onPick={(value) => onChange({ verified: value === "" ? null : value === "true" })}
      />
      <WhenChoice label={filters.joined} when={view.joined} offered={JOINED} onPick={(joined) => onChange({ joined })} />
      <WhenChoice
        label={filters.signedIn}
        when={view.signedIn}
        offered={SIGNED_IN}
        onPick={(signedIn) => onChange({ signedIn })}
      />
      <div className="modal-buttons buttons">
        <button className="button" type="button" onClick={() => onChange(EVERYONE)}>
          {filters.clear}
        </button>
        <button className="button is-primary" type="button" onClick={onClose}>
          {filters.done}
        </button>
      </div>
    </div>
  );
}

const JOINED = ["7d", "30d", "90d"];
const SIGNED_IN = ["7d", "30d", "before-30d", "before-90d", "never"];

type ChoiceProps = {
  label: string;
  value: string;
  choices: readonly (readonly [value: string, text: string])[];
  onPick: (value: string) => void;
  children?: ReactNode;
};

function Choice({ label, value, choices, onPick, children }: ChoiceProps) {
  const id = useId();
  return (
    <div className="filter-choice">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onPick(event.target.value)}>
        {choices.map(([choice, text]) => (
          <option key={choice} value={choice}>
            {text}
          </option>
        ))}
      </select>
      {children}
    </div>
  );
}

const ROLE = "role:"; // before a role, so that no role is taken for another choice

function RoleChoice({ role, onPick }: { role: string | null; onPick: (role: string | null) => void }) {
  const { filters } = useMessages();
  const { roles } = useOptions();
  const [isOther, setOther] = useState(role !== null && role !== "" && !roles.includes(role));
  const draft = useDraft(role ?? "", (text) => onPick(text || null));
  return (
    <Choice
      label={filters.role}
      value={isOther ? "other" : role === null ? "" : ROLE + role}
      choices={[
        ["", filters.any],
        ...roles.map((it) => [ROLE + it, it] as const),
        [ROLE, filters.noRole],
        ["other", filters.otherRole],
      ]}
      onPick={(value) => {
        setOther(value === "other");
        if (value !== "other") onPick(value === "" ? null : value.slice(ROLE.length));
        else if (role !== null) onPick(null);
      }}
    >
      {isOther && (
        <input
          type="text"
          aria-label={filters.otherRoleLabel}
          autoComplete="off"
          spellCheck={false}
          dir="auto"
          maxLength={100}
          {...draft.field}
        />
      )}
    </Choice>
  );
}

type WhenProps = { label: string; when: When | null; offered: string[]; onPick: (when: When | null) => void };

function WhenChoice({ label, when, offered, onPick }: WhenProps) {
  const { filters } = useMessages();
  const formats = useFormats();
  const [asksDates, setAsksDates] = useState(false);
  const hasDates = when?.kind === "dates" || (asksDates && when === null);
  const written = writeWhen(when) ?? "";
  const known = hasDates || written === "" || offered.includes(written) ? offered : [...offered, written];
  return (
    <Choice
      label={label}
      value={hasDates ? "dates" : written}
      choices={[
        ["", filters.anyTime],
        ...known.map((it) => [it, textOf(readWhen(it)!, filters, formats)] as const),
        ["dates", filters.dates],
      ]}
      onPick={(value) => {
        setAsksDates(value === "dates");
        if (value !== "dates") onPick(readWhen(value));
        else if (when !== null) onPick(null);
      }}
    >
      {hasDates && <Dates when={when} label={label} onPick={onPick} />}
    </Choice>
  );
}

type DatesProps = { label: string; when: When | null; onPick: (when: When | null) => void };

function Dates({ label, when, onPick }: DatesProps) {
  const { filters } = useMessages();
  const id = useId();
  const draft = useDraft(writeWhen(when) ?? "..", (text) => {
    if (text === "..") onPick(null);
    else if (readWhen(text) !== null) onPick(readWhen(text));
  });
  const [from = "", to = ""] = draft.text.split("..");
  const isWrong = from !== "" && to !== "" && from > to;
  const input = (name: string, value: string, write: (value: string) => string) => (
    <label>
      {name}
      <input
        {...draft.field}
        type="date"
        aria-label={`${label}: ${name}`}
        aria-invalid={isWrong || undefined}
        aria-describedby={isWrong ? id : undefined}
        value={value}
        onChange={(event) => draft.setText(write(event.target.value))}
      />
    </label>
  );
  return (
    <div className="filter-dates">
      {input(filters.from, from, (value) => `${value}..${to}`)}
      {input(filters.to, to, (value) => `${from}..${value}`)}
      {isWrong && (
        <p className="form-error" id={id} role="alert">
          {filters.wrongDates}
        </p>
      )}
    </div>
  );
}

// Places the panel under its button, within the window.
function place(panel: HTMLElement, anchor: HTMLElement): void {
  const button = anchor.getBoundingClientRect();
  const { offsetHeight, offsetWidth } = panel;
  const { clientHeight, clientWidth } = document.documentElement; // without scroll bars
  const top = Math.max(EDGE, Math.min(button.bottom + GAP, clientHeight - offsetHeight - EDGE));
  const left = Math.max(EDGE, Math.min(button.right - offsetWidth, clientWidth - offsetWidth - EDGE));
  panel.style.setProperty("top", `${top}px`, "important"); // as the stylesheet is
  panel.style.setProperty("left", `${left}px`, "important");
}
