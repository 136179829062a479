import { useId, useRef, useState } from "react";
import { useOptions } from "../admin/options.ts";
import type { UserSummary } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { Time } from "../ui/Time.tsx";
import { displayName } from "../users/displayName.ts";
import { AskButton } from "./AskButton.tsx";
import { CallNews } from "./CallNews.tsx";
import { useManaging } from "./context.ts";
import { Question } from "./Question.tsx";
import {
  deviceText,
  listSessions,
  placeText,
  readRevoked,
  readSessions,
  revokeSession,
  revokeSessions,
  type Sessions as Listed,
  type UserSession,
} from "./sessionCalls.ts";
import { useAsk } from "./useAsk.ts";

type Target = UserSession | "all";

// The sessions of a user, in the details. They are Clerk's, so they are asked for only when somebody wants to see them.
export function Sessions({ user }: { user: UserSummary }) {
  const { myId } = useManaging();
  const { isOn } = useOptions();
  const { sheet } = useMessages();
  const { number } = useFormats();
  const { ask, busy, isOff, obstacle, setTold, wait, ...news } = useAsk(); // busy: "list", "all" or a session's id
  const [listed, setListed] = useState<Listed | null>(null);
  const [target, setTarget] = useState<Target | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const counted = (count: number) => sheet.sessionCount(count, number(count));

  const load = async () => {
    const found = await ask("list", listSessions(user.clerkId), readSessions);
    if (found === undefined) return;
    const { sessions, hasMore } = found;
    setListed(found);
    setTold(sessions.length === 0 ? "" : sheet.sessionsListed(counted(sessions.length), hasMore));
  };

  const revoke = async (what: Target) => {
    setTarget(null);
    const request = what === "all" ? revokeSessions(user.clerkId) : revokeSession(user.clerkId, what.id);
    const revoked = await ask(what === "all" ? "all" : what.id, request, readRevoked);
    list.current?.focus(); // the button that was pressed disappears
    if (revoked === undefined) return;
    const { count, hasMore } = revoked;
    const isLeft = (session: UserSession) => what !== "all" && session.id !== what.id;
    setListed((now) => now && { sessions: now.sessions.filter(isLeft), hasMore: now.hasMore && what !== "all" });
    setTold(sheet.sessionsRevoked(counted(count), hasMore));
  };

  return (
    <section className="sessions" aria-labelledby={id}>
      <div className="metadata-head">
        <h3 id={id}>{sheet.sessions}</h3>
        <div className="buttons">
          {listed !== null && listed.sessions.length > 1 && isOn("revoke") && (
            <button
              className="button is-danger-quiet"
              type="button"
              aria-disabled={isOff}
              onClick={() => !isOff && setTarget("all")}
            >
              {busy === "all" ? sheet.revoking : sheet.revokeAll}
            </button>
          )}
          <AskButton
            {...{ isOff, obstacle, wait }}
            isAsking={busy === "list"}
            label={listed === null ? sheet.showSessions : sheet.refresh}
            onAsk={() => void load()}
          />
        </div>
      </div>
      <CallNews obstacle={obstacle} {...news} />
      {listed !== null && (
        <div ref={list} tabIndex={-1} role="group" aria-labelledby={id}>
          {listed.sessions.length === 0 ? (
            <p className="muted">{sheet.noSession}</p>
          ) : (
            <ul className="session-list">
              {listed.sessions.map((session) => (
                <li key={session.id} className="session">
                  <Session session={session} />
                  {isOn("revoke") && (
                    <button
                      className="button"
                      type="button"
                      aria-disabled={isOff}
                      aria-label={sheet.revokeDevice(deviceText(session.device, sheet))}
                      onClick={() => !isOff && setTarget(session)}
                    >
                      {busy === session.id ? sheet.revoking : sheet.revoke}
                    </button>
                  )}
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
      {target !== null && (
        <ConfirmRevoke
          target={target}
          name={displayName(user)}
          isMine={user.clerkId === myId}
          onClose={() => setTarget(null)}
          onConfirm={() => void revoke(target)}
        />
      )}
    </section>
  );
}

function Session({ session: { device, last_active_at, impersonated } }: { session: UserSession }) {
  const { sheet } = useMessages();
  const place = placeText(device);
  return (
    <div className="session-text">
      <span className="truncate" title={deviceText(device, sheet)}>
        {deviceText(device, sheet)}
        {impersonated && <span className="unverified session-mark">{sheet.impersonated}</span>}
      </span>
      <span className="muted truncate" title={place}>
        {last_active_at !== null && sheet.active(<Time value={last_active_at} />)}
        {last_active_at !== null && place !== "" && " · "}
        {place}
      </span>
    </div>
  );
}

type ConfirmProps = {
  target: Target;
  name: string;
  isMine: boolean;
  onClose: () => void;
  onConfirm: () => void;
};

function ConfirmRevoke({ target, name, isMine, ...asked }: ConfirmProps) {
  const { sheet } = useMessages();
  const title = target === "all" ? sheet.askRevokeSessions : sheet.askRevokeSession;
  const text =
    target === "all" ? sheet.revokeSessionsText : sheet.revokeSessionText(deviceText(target.device, sheet));
  return (
    <Question
      title={title(<bdi>{name}</bdi>)}
      text={isMine ? `${text} ${sheet.ownSessions}` : text}
      confirm={target === "all" ? sheet.revokeSessions : sheet.revokeSession}
      {...asked}
    />
  );
}
