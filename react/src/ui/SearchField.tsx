import type { InputHTMLAttributes, ReactNode, Ref } from "react";
import { Icon } from "./Icon.tsx";

const LONGEST_SEARCH = 200; // characters
const LENS = (
  <>
    <circle cx="7" cy="7" r="4.25" />
    <path d="m10.25 10.25 3.25 3.25" />
  </>
);

type Props = InputHTMLAttributes<HTMLInputElement> & { icon?: ReactNode; inputRef?: Ref<HTMLInputElement> };

// An input for a search, with an icon before it. The children are within its frame.
export function SearchField({ icon = LENS, inputRef, children, ...input }: Props) {
  return (
    <div className="search">
      <Icon>{icon}</Icon>
      <input
        ref={inputRef}
        type="search"
        autoComplete="off"
        spellCheck={false}
        dir="auto"
        maxLength={LONGEST_SEARCH}
        {...input}
      />
      {children}
    </div>
  );
}
