import { useEffect, useMemo, useRef, useState } from "react";
import { useOptions } from "../admin/options.ts";
import { CallNews } from "../manage/CallNews.tsx";
import type { Problem } from "../manage/calls.ts";
import { useManaged, useManaging, useObstacle } from "../manage/context.ts";
import { useWait } from "../manage/Notices.tsx";
import { InviteButton } from "../manage/NewUserButton.tsx";
import { Question } from "../manage/Question.tsx";
import { useFormats, useMessages } from "../messages/messages.ts";
import { useQueryParams } from "../router/router.tsx";
import { ClearFilters } from "../ui/ClearFilters.tsx";
import { LoadMore } from "../ui/LoadMore.tsx";
import { Time } from "../ui/Time.tsx";
import { useLatest } from "../ui/useLayout.ts";
import {
  listInvitations,
  readInvitations,
  readView,
  roleOf,
  withPage,
  writeView,
  type Invitation,
  type InvitationPage,
  type InvitationsView,
} from "./invitationCalls.ts";
import { InvitationFilters } from "./InvitationFilters.tsx";

type Listed = InvitationPage & { view: InvitationsView };

// The invitations as Clerk has them: asked for when the page opens, after each change made here, and by Refresh.
export function InvitationList() {
  const { manager } = useManaging();
  const { isOn } = useOptions();
  const { invitations: texts } = useMessages();
  const { number } = useFormats();
  const obstacle = useObstacle();
  const changes = useManaged((state) => state.invitationChanges);
  const [params, setParams] = useQueryParams();
  const view = useMemo(() => readView(params), [params]);
  const [listed, setListed] = useState<Listed | null>(null);
  const [isLoading, setLoading] = useState(true);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [target, setTarget] = useState<Invitation | null>(null);
  const [revoking, setRevoking] = useState<string | null>(null);
  const latest = useRef(0);
  const list = useRef<HTMLDivElement>(null);
  const wait = useWait(problem);
  const isOff = isLoading || wait > 0;

  const load = useLatest(async (offset: number) => {
    const number = ++latest.current;
    setLoading(true);
    setProblem(null);
    const answer = await manager.ask(listInvitations(view, offset), readInvitations);
    if (number !== latest.current) return; // a later request is on the way
    setLoading(false);
    if (!answer.isDone) {
      setListed((now) => (now?.view === view ? now : null)); // rows of other filters are no answer to these
      return setProblem(answer);
    }
    const { invitations, hasMore } = answer.value;
    setListed((now) => ({
      view,
      invitations: offset > 0 && now?.view === view ? withPage(now.invitations, invitations) : invitations,
      hasMore,
    }));
  });

  useEffect(() => {
    void load(0);
    return () => {
      latest.current += 1;
    };
  }, [view, changes, load]);

  const onChange = (change: Partial<InvitationsView>) =>
    setParams((now) => writeView(now, { ...readView(now), ...change }));

  const revoke = async ({ id, email_address }: Invitation) => {
    setTarget(null);
    setRevoking(id);
    list.current?.focus(); // the button that was pressed may disappear
    await manager.do({ action: "revokeInvitation", id }, email_address);
    setRevoking(null);
  };

  const rows = listed?.invitations ?? [];
  const isFiltered = view.search !== "" || view.status !== null;
  const counted = listed === null || rows.length === 0 ? "" : texts.count(rows.length, number(rows.length), listed.hasMore);
  return (
    <>
      <InvitationFilters
        view={view}
        onChange={onChange}
        end={
          <>
            <button className="button" type="button" aria-disabled={isOff} onClick={() => !isOff && void load(0)}>
              {isLoading ? texts.loading : wait > 0 ? texts.retryIn(wait, number(wait)) : texts.refresh}
            </button>
            <InviteButton isPrimary />
          </>
        }
      />
      <div className="invitations-news">
        <CallNews told={isLoading ? "" : counted} obstacle={obstacle} problem={problem} />
        <p className="reason">{texts.notLive}</p>
      </div>
      <div
        ref={list}
        className="table-frame invitations"
        tabIndex={-1}
        role="group"
        aria-label={texts.label}
        aria-busy={isLoading}
      >
        {listed === null && isLoading && <p className="muted invitations-empty">{texts.loading}</p>}
        {listed !== null && rows.length === 0 && (
          <div className="notice">
            <h2>{isFiltered ? texts.noMatch : texts.noneYet}</h2>
            <p>{isFiltered ? texts.noMatchText : texts.noneYetText}</p>
            {isFiltered && (
              <ClearFilters onClear={() => onChange({ search: "", status: null })}>{texts.clearFilters}</ClearFilters>
            )}
          </div>
        )}
        {rows.length > 0 && (
          <ul className="session-list">
            {rows.map((invitation) => (
              <li key={invitation.id} className="session invitation" data-invitation-id={invitation.id}>
                <Row invitation={invitation} />
                {invitation.status === "pending" && isOn("revokeInvitation") && (
                  <button
                    className="button"
                    type="button"
                    aria-disabled={revoking !== null || obstacle !== null}
                    aria-label={texts.revokeOf(invitation.email_address)}
                    onClick={() => revoking === null && obstacle === null && setTarget(invitation)}
                  >
                    {revoking === invitation.id ? texts.revoking : texts.revoke}
                  </button>
                )}
              </li>
            ))}
          </ul>
        )}
        {listed !== null && rows.length > 0 && (
          <LoadMore isLoading={isLoading} onLoad={listed.hasMore && wait === 0 ? () => void load(rows.length) : null}>
            {counted}
          </LoadMore>
        )}
      </div>
      {target !== null && (
        <Question
          title={texts.askRevoke(<bdi>{target.email_address}</bdi>)}
          text={texts.revokeText}
          confirm={texts.revokeConfirm}
          onClose={() => setTarget(null)}
          onConfirm={() => void revoke(target)}
        />
      )}
    </>
  );
}

function Row({ invitation }: { invitation: Invitation }) {
  const { invitations: texts } = useMessages();
  const { email_address, status, created_at, expires_at } = invitation;
  const role = roleOf(invitation);
  return (
    <div className="session-text">
      <span className="truncate" title={email_address}>
        <bdi>{email_address}</bdi>
      </span>
      <span className="muted invitation-facts">
        <span className={`invitation-status is-${status}`}>{texts.statuses[status]}</span>
        {role !== null && <bdi>{texts.role(role)}</bdi>}
        <span>{texts.sent(<Time value={created_at} />)}</span>
        {status === "pending" && typeof expires_at === "number" && <span>{texts.ends(<Time value={expires_at} />)}</span>}
      </span>
    </div>
  );
}
