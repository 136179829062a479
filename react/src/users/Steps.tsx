import { useEffect, useState } from "react";
import { Icon } from "../ui/Icon.tsx";
import { useLatest } from "../ui/useLayout.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import type { Listed } from "./listed.ts";

type Props = { clerkId: string; listed: readonly Listed[]; onShow: (clerkId: string) => void };

// Goes from user to user in the order of the list, by buttons or by the keys j and k.
export function Steps({ clerkId, listed, onShow }: Props) {
  const [last, setLast] = useState({ clerkId, at: -1 });
  const now = listed.findIndex((user) => user.clerkId === clerkId);
  // A user may leave the list while the details are open. Then the next is the one who has moved up.
  const isGone = now === -1 && last.clerkId === clerkId;
  if (!isGone && (last.clerkId !== clerkId || last.at !== now)) setLast({ clerkId, at: now });
  const at = isGone ? last.at : now;
  const previous = at === -1 ? undefined : listed[at - 1];
  const next = at === -1 ? undefined : listed[isGone ? at : at + 1];

  const onKeyDown = useLatest((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as Element;
    const dialog = target.closest("dialog");
    if (target.closest("input, textarea, select") || !dialog?.classList.contains("sheet")) return;
    const user = { j: next, k: previous }[event.key];
    if (user !== undefined) onShow(user.clerkId);
  });
  useEffect(() => {
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [onKeyDown]);

  const { number } = useFormats();
  const { sheet } = useMessages();
  return (
    <div className="steps">
      <Step label={sheet.previous} keys="k" user={previous} onShow={onShow} path="m4 10 4-4 4 4" />
      <Step label={sheet.next} keys="j" user={next} onShow={onShow} path="m4 6 4 4 4-4" />
      <span className="muted" role="status">
        {now !== -1 && (
          <>
            <span className="visually-hidden">
              <bdi>{listed[now]!.name}</bdi>,{" "}
            </span>
            {sheet.position(number(now + 1), number(listed.length))}
          </>
        )}
      </span>
    </div>
  );
}

type StepProps = {
  label: string;
  keys: string;
  user: Listed | undefined;
  path: string;
  onShow: (clerkId: string) => void;
};

function Step({ label, keys, user, path, onShow }: StepProps) {
  const { sheet } = useMessages();
  return (
    <button
      className="icon-button"
      type="button"
      aria-label={label}
      aria-keyshortcuts={keys}
      aria-disabled={user === undefined}
      title={sheet.withKey(label, keys)}
      onClick={() => user && onShow(user.clerkId)}
    >
      <Icon size={16}>
        <path d={path} />
      </Icon>
    </button>
  );
}
