import { useEffect, useState } from "react";
import { useFormats, useMessages } from "../messages/messages.ts";
import { CloseButton } from "../ui/CloseButton.tsx";
import { useLayout } from "../ui/useLayout.ts";
import { BulkNews } from "./BulkNews.tsx";
import type { Problem } from "./calls.ts";
import { useManaged, useManaging, useObstacle } from "./context.ts";
import type { Holder, Notice } from "./Manager.ts";

// Shows the results of actions. A failure stays until it is dismissed.
export function Notices() {
  const notices = useManaged((state) => state.notices);
  const good = notices.filter(({ answer }) => answer.isDone && answer.synced);
  const bad = notices.filter((notice) => !good.includes(notice));
  return (
    <div className="toasts">
      <BulkNews />
      {bad.map((notice) => (
        <BadNews key={notice.id} notice={notice} />
      ))}
      <div role="status" className="toasts-good">
        {good.map((notice) => (
          <GoodNews key={notice.id} notice={notice} />
        ))}
      </div>
    </div>
  );
}

// It stays while the pointer or the focus is on it, so that Undo can be reached.
function GoodNews({ notice }: { notice: Notice }) {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const { undo } = notice;
  const { manage } = useMessages();
  const hold = (by: Holder, isHeld: boolean) => () => manager.hold(notice, by, isHeld);
  useEffect(
    () => () => {
      // An element that leaves the document gets neither pointerleave nor blur.
      manager.hold(notice, "pointer", false);
      manager.hold(notice, "focus", false);
    },
    [manager, notice],
  );
  return (
    <div
      className="toast"
      onPointerEnter={hold("pointer", true)}
      onPointerLeave={hold("pointer", false)}
      onFocus={hold("focus", true)}
      onBlur={hold("focus", false)}
    >
      <p>
        <Title notice={notice} />
      </p>
      {undo !== null && (
        <button
          className="button"
          type="button"
          aria-disabled={obstacle !== null}
          title={obstacle ?? undefined}
          onClick={() => {
            if (obstacle !== null) return;
            manager.dismiss(notice);
            void manager.do(undo, notice.name);
          }}
        >
          {manage.undo}
        </button>
      )}
    </div>
  );
}

// The buttons are outside the live region, which screen readers would otherwise read again every second.
function BadNews({ notice }: { notice: Notice }) {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const { manage, ui } = useMessages();
  const { number } = useFormats();
  const { call, name, answer } = notice;
  const canRetry = !answer.isDone && answer.canRetry;
  const wait = useWait(answer.isDone ? null : answer);
  return (
    <div className={`toast ${answer.isDone ? "is-warning" : "is-bad"}`}>
      <div role="alert">
        <strong>
          <Title notice={notice} />
        </strong>
        {answer.isDone ? <p>{answer.message}</p> : <ProblemText problem={answer} />}
      </div>
      {canRetry && (
        <button
          className="button"
          type="button"
          aria-disabled={wait > 0 || obstacle !== null}
          title={obstacle ?? undefined}
          onClick={() => {
            if (wait > 0 || obstacle !== null) return;
            manager.dismiss(notice);
            void manager.do(call, name);
          }}
        >
          {wait > 0 ? manage.retryIn(wait, number(wait)) : ui.retry}
        </button>
      )}
      <CloseButton className="toast-close" label={ui.dismiss} onClick={() => manager.dismiss(notice)} />
    </div>
  );
}

function Title({ notice: { call, name, answer } }: { notice: Notice }) {
  const { manage } = useMessages();
  const who = <bdi>{name}</bdi>;
  if (answer.isDone) return answer.synced ? manage.done(call.action, who) : manage.doneAtClerk(call.action, who);
  return answer.mayBeDone ? manage.notKnown(call.action, who) : manage.notDone(call.action, who);
}

export function ProblemText({ problem }: { problem: Problem }) {
  const { manage } = useMessages();
  return (
    <>
      <p>{problem.message}</p>
      <p className="request-id muted">
        {manage.request(<code>{problem.requestId}</code>)}
      </p>
    </>
  );
}

// Returns the seconds until the call can be retried.
export function useWait(problem: Problem | null): number {
  const retryAt = problem?.retryAt ?? 0;
  const [now, setNow] = useState(() => Date.now());
  useLayout(() => setNow(Date.now()), [retryAt]); // before it is drawn
  const isOver = now >= retryAt;
  useEffect(() => {
    if (isOver) return;
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [isOver]);
  return Math.max(0, Math.ceil((retryAt - now) / 1000));
}
