import { useEffect, useState, type ChangeEvent, type KeyboardEvent } from "react";
import { useLatest } from "../ui/useLayout.ts";

const PAUSE_MS = 500;

// Keeps the text of a field until it is applied: after a pause in typing, with Enter, or when the field is left.
export function useDraft(applied: string, apply: (text: string) => void) {
  const [text, setText] = useState(applied);
  const [known, setKnown] = useState(applied);
  const [sent, setSent] = useState<string | null>(null);

  // If it was changed elsewhere, by the back button or by "clear filters", the field follows. What the field itself has
  // sent comes back later, when somebody may have typed on.
  if (applied !== known) {
    setKnown(applied);
    if (applied !== sent) setText(applied);
    setSent(null);
  }

  const send = useLatest(() => {
    if (text === applied || text === sent) return;
    setSent(text);
    apply(text);
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
