import { useEffect, useRef, useState } from "react";
import { useOptions } from "../admin/options.ts";
import { useSession } from "../auth/session.ts";
import { useMessages } from "../messages/messages.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { displayName, type Named } from "../users/displayName.ts";

type MenuUser = Named & { imageUrl?: string; role?: string };

// onHelp opens the list of keys.
export function UserMenu({ user, onHelp }: { user: MenuUser; onHelp: () => void }) {
  const { signOut, switchAccount } = useSession();
  const [problem, setProblem] = useState<string | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const { keys } = useOptions();
  const { frame, help } = useMessages();
  const name = displayName(user);

  // The attribute has another name in React 18.
  useEffect(() => {
    button.current!.popoverTargetElement = panel.current;
  }, []);

  const attempt = (action: () => Promise<void>) => () => {
    setProblem(null);
    action().catch(() => setProblem(frame.stillSignedIn));
  };

  return (
    <div>
      <button className="menu-button" type="button" ref={button} aria-label={frame.account(name)}>
        <Avatar seed={user.clerkId} name={name} src={user.imageUrl} size="small" />
      </button>
      <div ref={panel} className="menu-panel" popover="auto">
        <div className="menu-user">
          <strong className="truncate" dir="auto" title={name}>
            {name}
          </strong>
          <span className="truncate muted" title={user.email}>
            {user.email ?? user.clerkId}
          </span>
          {user.role !== undefined && <span className="muted">{frame.role(user.role)}</span>}
        </div>
        {problem !== null && (
          <p className="menu-problem" role="alert">
            {problem}
          </p>
        )}
        <button
          className="menu-item"
          type="button"
          aria-keyshortcuts={keys ? "?" : undefined}
          onClick={() => {
            button.current!.focus(); // it gets the focus back
            panel.current!.hidePopover();
            onHelp();
          }}
        >
          {help.open}
        </button>
        {switchAccount !== undefined && (
          <button className="menu-item" type="button" onClick={attempt(switchAccount)}>
            {frame.switchAccount}
          </button>
        )}
        {signOut !== undefined && (
          <button className="menu-item" type="button" onClick={attempt(signOut)}>
            {frame.signOut}
          </button>
        )}
      </div>
    </div>
  );
}
