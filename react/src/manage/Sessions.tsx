import { useId, useRef, useState } from "react";
import { useOptions } from "../admin/options.ts";
import type { UserSummary } from "../functions.ts";
import { Time } from "../ui/Time.tsx";
import { displayName } from "../users/displayName.ts";
import type { Problem } from "./calls.ts";
import { useManaging, useObstacle } from "./context.ts";
import { Modal } from "./Modal.tsx";
import { ProblemText, useWait } from "./Notices.tsx";
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

type Target = UserSession | "all";

// The sessions of a user, in the details. They are Clerk's, so they are asked for only when somebody wants to see them.
export function Sessions({ user }: { user: UserSummary }) {
  const { manager, myId } = useManaging();
  const { isOn } = useOptions();
  const obstacle = useObstacle();
  const [listed, setListed] = useState<Listed | null>(null);
  const [busy, setBusy] = useState<"list" | "all" | string | null>(null); // a string: the id of the session
  const [problem, setProblem] = useState<Problem | null>(null);
  const [told, setTold] = useState("");
  const [target, setTarget] = useState<Target | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const wait = useWait(problem);
  const id = useId();
  const isOff = busy !== null || obstacle !== null || wait > 0;

  const load = async () => {
    setBusy("list");
    setProblem(null);
    setTold("");
    const answer = await manager.ask(listSessions(user.clerkId), readSessions);
    setBusy(null);
    if (!answer.isDone) return setProblem(answer);
    const { sessions, hasMore } = answer.value;
    setListed(answer.value);
    setTold(sessions.length === 0 ? "" : `${counted(sessions.length)}${hasMore ? ", and more" : ""}.`);
  };

  const revoke = async (what: Target) => {
    setTarget(null);
    setBusy(what === "all" ? "all" : what.id);
    setProblem(null);
    setTold("");
    const request = what === "all" ? revokeSessions(user.clerkId) : revokeSession(user.clerkId, what.id);
    const answer = await manager.ask(request, readRevoked);
    setBusy(null);
    list.current?.focus(); // the button that was pressed disappears
    if (!answer.isDone) return setProblem(answer);
    const { count, hasMore } = answer.value;
    const isLeft = (session: UserSession) => what !== "all" && session.id !== what.id;
    setListed((now) => now && { sessions: now.sessions.filter(isLeft), hasMore: now.hasMore && what !== "all" });
    setTold(`${counted(count)} revoked.${hasMore ? " There are more: show the sessions again." : ""}`);
  };

  return (
    <section className="sessions" aria-labelledby={id}>
      <div className="metadata-head">
        <h3 id={id}>Sessions</h3>
        <div className="buttons">
          {listed !== null && listed.sessions.length > 1 && isOn("revoke") && (
            <button
              className="button is-danger-quiet"
              type="button"
              aria-disabled={isOff}
              onClick={() => !isOff && setTarget("all")}
            >
              {busy === "all" ? "Revoking…" : "Revoke all"}
            </button>
          )}
          <button
            className="button"
            type="button"
            aria-disabled={isOff}
            title={obstacle ?? undefined}
            onClick={() => !isOff && void load()}
          >
            {busy === "list" ? "Asking Clerk…" : wait > 0 ? `Retry in ${wait} s` : listed === null ? "Show sessions" : "Refresh"}
          </button>
        </div>
      </div>
      <p role="status" className="reason">
        {told}
      </p>
      {obstacle !== null && <p className="reason">{obstacle}</p>}
      {problem !== null && (
        <div role="alert" className="form-problem">
          <ProblemText problem={problem} />
        </div>
      )}
      {listed !== null && (
        <div ref={list} tabIndex={-1} role="group" aria-labelledby={id}>
          {listed.sessions.length === 0 ? (
            <p className="muted">No active session</p>
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
                      aria-label={`Revoke ${deviceText(session.device)}`}
                      onClick={() => !isOff && setTarget(session)}
                    >
                      {busy === session.id ? "Revoking…" : "Revoke"}
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
          obstacle={obstacle}
          onClose={() => setTarget(null)}
          onConfirm={() => void revoke(target)}
        />
      )}
    </section>
  );
}

function counted(count: number): string {
  return count === 1 ? "1 session" : `${count} sessions`;
}

function Session({ session: { device, last_active_at, impersonated } }: { session: UserSession }) {
  const place = placeText(device);
  return (
    <div className="session-text">
      <span className="truncate" title={deviceText(device)}>
        {deviceText(device)}
        {impersonated && <span className="unverified session-mark">Impersonated</span>}
      </span>
      <span className="muted truncate" title={place}>
        {last_active_at !== null && (
          <>
            Active <Time value={last_active_at} />
          </>
        )}
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
  obstacle: string | null;
  onClose: () => void;
  onConfirm: () => void;
};

function ConfirmRevoke({ target, name, isMine, obstacle, onClose, onConfirm }: ConfirmProps) {
  const id = useId();
  const label = target === "all" ? "Revoke all sessions" : "Revoke session";
  return (
    <Modal role="alertdialog" labelId={id} describedBy={`${id}-text`} onClose={onClose}>
      <h2 id={id} className="modal-title">
        {label} of <bdi>{name}</bdi>?
      </h2>
      <p id={`${id}-text`}>
        {target === "all" ? "Signs the user out everywhere" : `Signs the user out on ${deviceText(target.device)}`}, within
        a minute. The account stays, and can sign in again.
        {isMine && " These sessions are yours: you may have to sign in again."}
      </p>
      {obstacle !== null && <p className="reason">{obstacle}</p>}
      <div className="modal-buttons buttons">
        <button className="button" type="button" data-first onClick={onClose}>
          Cancel
        </button>
        <button
          className="button is-danger"
          type="button"
          aria-disabled={obstacle !== null}
          onClick={() => obstacle === null && onConfirm()}
        >
          {label}
        </button>
      </div>
    </Modal>
  );
}
