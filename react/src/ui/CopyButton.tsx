import { useEffect, useState } from "react";
import { useMessages } from "../messages/messages.ts";
import { Icon } from "./Icon.tsx";

const SHOWN_MS = 2000;

export function CopyButton({ text, label }: { text: string; label: string }) {
  const { ui } = useMessages();
  const [result, setResult] = useState<"copied" | "notCopied" | null>(null);

  useEffect(() => {
    if (result === null) return;
    const timer = setTimeout(() => setResult(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [result]);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setResult("copied");
    } catch {
      setResult("notCopied");
    }
  };

  return (
    <span className="copy">
      <button
        className="icon-button"
        type="button"
        aria-label={ui.copy(label)}
        title={ui.copy(label)}
        onClick={copy}
      >
        <Icon>
          {result === "copied" ? (
            <path d="m3 8.5 3.25 3.25L13 5" />
          ) : (
            <path d="M5.75 5.75v-3h7.5v7.5h-3m-7.5-4.5h7.5v7.5h-7.5z" />
          )}
        </Icon>
      </button>
      <span className="copy-result" aria-live="polite">
        {result && ui[result]}
      </span>
    </span>
  );
}
