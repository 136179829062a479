import { useEffect, useMemo, useRef, useState } from "react";
import { useAdminAnswer } from "../data/useAnswer.ts";
import { useLast } from "../data/useLast.ts";
import { useFunctions, type UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { RefusalsNotice } from "../refusals/RefusalsNotice.tsx";
import { StatsPanel } from "../stats/StatsPanel.tsx";
import { useDayStart, useToday } from "../stats/useToday.ts";
import { Region } from "../ui/Region.tsx";
import { useTitle } from "../ui/useTitle.ts";
import { useLatest, useLayout } from "../ui/useLayout.ts";
import { Filters } from "./Filters.tsx";
import { useManage } from "./manage.ts";
import { listedOf, type Listed } from "./listed.ts";
import { keyOf, useCounts } from "./useCounts.ts";
import { UserDialog } from "./UserDialog.tsx";
import { UsersTable } from "./UsersTable.tsx";
import { useCsv } from "./useCsv.ts";
import { useUsersUrl } from "./useUsersUrl.ts";
import { argsOf } from "./usersView.ts";

// The content of the page, within <Admin>.
export function Users() {
  const manage = useManage();
  const { list } = useMessages();
  useTitle(list.users);
  const { view, setView, userId, open, show, close } = useUsersUrl();
  const functions = useFunctions();
  const today = useToday();
  const answer = useAdminAnswer(
    functions.stats,
    useMemo(() => ({ today }), [today]),
  );
  const stats = useLast(answer.value);
  const dayStart = useDayStart();
  const counts = useCounts(view, dayStart, stats);
  const csv = useCsv();
  // Only the details need the names of all rows.
  const [listed, setListed] = useState<readonly Listed[]>([]);
  const rows = useRef<readonly UserSummary[]>([]);
  const isOpen = userId !== null;
  const onRows = useLatest((now: readonly UserSummary[]) => {
    rows.current = now;
    if (isOpen) setListed((before) => listedOf(now, before));
  });
  useLayout(() => {
    if (isOpen) setListed((before) => listedOf(rows.current, before));
  }, [isOpen]);

  // The row of the user whose details were open gets the focus, also when it is not in the document.
  const reveal = useRef<((clerkId: string) => void) | null>(null);
  const lastId = useRef<string | null>(null);
  useEffect(() => {
    if (userId === null && lastId.current !== null && !document.activeElement?.closest("tr")) reveal.current?.(lastId.current);
    lastId.current = userId;
  }, [userId]);

  return (
    <>
      <h1 className="visually-hidden">{list.users}</h1>
      <StatsPanel stats={stats} error={answer.error} onRetry={answer.retry} />
      <RefusalsNotice />
      <Filters
        view={view}
        onChange={setView}
        counts={counts}
        countsKey={keyOf(view, dayStart)}
        csv={{ ...csv, onStart: () => csv.start(argsOf(view, dayStart)) }}
        end={manage && <manage.NewUserButton />}
      />
      <Region title={list.failed} resetKey={view}>
        <UsersTable
          view={view}
          onChange={setView}
          onOpen={open}
          onRows={onRows}
          revealRef={reveal}
          counts={counts}
          today={dayStart}
          manage={manage}
        />
      </Region>
      {userId !== null && (
        <UserDialog clerkId={userId} listed={listed} onShow={show} onClose={close} manage={manage} />
      )}
    </>
  );
}
