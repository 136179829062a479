import { useFormats, useMessages } from "../messages/messages.ts";

type Props = {
  isAsking: boolean;
  isOff: boolean;
  obstacle: string | null; // why nothing can be asked
  wait: number; // seconds until it can be asked again
  label: string;
  onAsk: () => void;
};

// Asks the service for a part of the details, and says when it can be asked again.
export function AskButton({ isAsking, isOff, obstacle, wait, label, onAsk }: Props) {
  const { sheet } = useMessages();
  const { number } = useFormats();
  return (
    <button
      className="button"
      type="button"
      aria-disabled={isOff}
      title={obstacle ?? undefined}
      onClick={() => !isOff && onAsk()}
    >
      {isAsking ? sheet.asking : wait > 0 ? sheet.retryIn(wait, number(wait)) : label}
    </button>
  );
}
