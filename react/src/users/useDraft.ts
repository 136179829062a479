import { useEffect, useState, type ChangeEvent, type KeyboardEvent } from "react";
import { useLatest } from "../ui/useLayout.ts";

const PAUSE_MS = 500;

// Keeps the text of a field until it is applied: after a pause in typing, with Enter, or when the field is left.
export function useDraft(applied: string, apply: (text: string) => void) {
  const [text, setText] = useState(applied);
  const [known, setKnown] = useState(applied);

  // It was changed elsewhere: by the back button or by "clear filters".
  if (applied !== known) {
    setKnown(applied);
    setText(applied);
  }

  const send = useLatest(() => {
    if (text !== applied) apply(text);
  });
  useEffect(() => {
    if (text === applied) return;
    const timer = setTimeout(send, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, applied, send]);

  const field = {
    value: text,
    onChange: (event: ChangeEvent<HTMLInputElement>) => setText(event.target.value),
    onBlur: send,
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key === "Enter") send();
    },
  };
  return { text, setText, field };
}
