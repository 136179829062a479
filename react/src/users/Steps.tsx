import { useEffect, useState } from "react";
import { useOptions } from "../admin/options.ts";
import { Icon } from "../ui/Icon.tsx";
import { FIELDS, isIn, isPlain } from "../ui/useKey.ts";
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

  const { keys } = useOptions();
  const onKeyDown = useLatest((event: KeyboardEvent) => {
    if (!keys || !isPlain(event) || isIn(FIELDS, event)) return;
    if (!(event.target as Element).closest("dialog")?.classList.contains("sheet")) return;
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
      <Step label={sheet.previous} letter="k" user={previous} onShow={onShow} path="m4 10 4-4 4 4" />
      <Step label={sheet.next} letter="j" user={next} onShow={onShow} path="m4 6 4 4 4-4" />
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
  letter: string;
  user: Listed | undefined;
  path: string;
  onShow: (clerkId: string) => void;
};

function Step({ label, letter, user, path, onShow }: StepProps) {
  const { keys } = useOptions();
  const { sheet } = useMessages();
  return (
    <button
      className="icon-button"
      type="button"
      aria-label={label}
      aria-keyshortcuts={keys ? letter : undefined}
      aria-disabled={user === undefined}
      title={keys ? sheet.withKey(label, letter) : label}
      onClick={() => user && onShow(user.clerkId)}
    >
      <Icon size={16}>
        <path d={path} />
      </Icon>
    </button>
  );
}
