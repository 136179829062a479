import { useEffect, useState, type ChangeEvent, type KeyboardEvent } from "react";
import { useLatest } from "./useLayout.ts";

const PAUSE_MS = 500;

// Keeps the text of a field until it is applied, without spaces at its ends: after a pause in typing, with Enter, or when
// the field is left. `pause` is in milliseconds; null is no such pause.
export function useDraft(applied: string, apply: (text: string) => void, pause: number | null = PAUSE_MS) {
  const [text, setText] = useState(applied);
  const [known, setKnown] = useState(applied);
  const [sent, setSent] = useState<string[]>([]); // what this field has sent and is not applied yet, in order

  // If it was changed elsewhere, by the back button or by "clear filters", the field follows. What the field itself has
  // sent comes back later, when somebody may have typed on.
  if (applied !== known) {
    const place = sent.indexOf(applied);
    setKnown(applied);
    setSent(place === -1 ? [] : sent.slice(place + 1));
    if (place === -1) setText(applied);
  }

  const last = sent.at(-1) ?? applied;
  const isLast = (wanted: string) => wanted === last || wanted.trim() === last;
  const isNew = !isLast(text);
  const send = useLatest((wanted: string) => {
    if (isLast(wanted)) return;
    setSent([...sent, wanted.trim()]);
    apply(wanted.trim());
  });
  useEffect(() => {
    if (!isNew || pause === null) return;
    const timer = setTimeout(send, pause, text);
    return () => clearTimeout(timer);
  }, [text, isNew, send, pause]);

  // Changes the text and applies it at once.
  const put = (wanted: string) => {
    setText(wanted);
    send(wanted);
  };
  const field = {
    value: text,
    onChange: (event: ChangeEvent<HTMLInputElement>) => setText(event.target.value),
    onBlur: () => send(text),
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key === "Enter" && !event.nativeEvent.isComposing) send(text);
    },
  };
  return { text, setText, put, field };
}
