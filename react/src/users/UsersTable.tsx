import { useEffect, useMemo, useRef, useState, useSyncExternalStore, type RefObject } from "react";
import { useOptions } from "../admin/options.ts";
import { useList } from "../data/useList.ts";
import { useFunctions, type UsersArgs, type UserSummary } from "../functions.ts";
import type { Formats } from "../messages/formats.ts";
import { useFormats, useMessages, type Messages } from "../messages/messages.ts";
import { useRouter } from "../router/router.tsx";
import { LoadMore } from "../ui/LoadMore.tsx";
import { OfflineNote } from "../ui/OfflineNote.tsx";
import { SkeletonRows } from "../ui/Skeleton.tsx";
import { useLatest, useLayout } from "../ui/useLayout.ts";
import { useWindow, type Seen } from "../ui/useWindow.ts";
import { userCells } from "./cells.ts";
import { NoMatch, NoUsers } from "./Empty.tsx";
import { Hold, HeldList } from "./HeldList.ts";
import { HoldProvider } from "./HoldContext.ts";
import type { Manage } from "./manage.ts";
import { News, type Note } from "./News.tsx";
import { placeKey, placeOf } from "./place.ts";
import { usePlace } from "./usePlace.ts";
import { UserRows } from "./UserRows.tsx";
import { UsersHead } from "./UsersHead.tsx";
import { totalOf, type Counts } from "./useCounts.ts";
import { argsOf, EVERYONE, NEWEST_FIRST, SEARCH_LIMIT, type UsersView } from "./usersView.ts";

const FEWEST = 10; // rows that are looked for to the end of the list
const VAIN = 5; // pages without a row after which somebody has to ask for more

type Props = {
  view: UsersView;
  onChange: (change: Partial<UsersView>) => void;
  onOpen: (clerkId: string) => void;
  onRows: (rows: readonly UserSummary[]) => void;
  revealRef: RefObject<((clerkId: string) => void) | null>; // gets a function that focuses the row of a user
  counts: Counts | undefined;
  today: number; // the beginning of the viewer's day
  manage?: Manage;
};

export function UsersTable({ view, onChange, onOpen, onRows, revealRef, counts, today, manage }: Props) {
  const { getUsers } = useFunctions();
  const { columns } = useOptions();
  const { location } = useRouter();
  const messages = useMessages();
  const formats = useFormats();
  const { list: words } = messages;
  const wanted = JSON.stringify(argsOf(view, today));
  const args = useMemo(() => JSON.parse(wanted) as UsersArgs, [wanted]);
  const table = useRef<HTMLTableElement>(null);
  const url = placeKey(location);
  const place = useMemo(() => placeOf(url), [url]);
  const { list, now } = useList(getUsers, args, place?.rows);
  const [hold] = useState(() => new Hold());
  const held = useMemo(() => new HeldList(list, hold), [list, hold]);
  const own = useSyncExternalStore(held.subscribe, held.read, held.read);

  // While another view loads, the rows of the previous one stay.
  const [last, setLast] = useState({ args, own, isLoaded: false });
  const isReady = !now.isLoading;
  if (isReady && (last.own !== own || last.args !== args)) setLast({ args, own, isLoaded: true });
  const isStale = !isReady && last.isLoaded;
  const isLoading = !isReady && !last.isLoaded;
  const shown = isReady ? own : last.own;
  const shownArgs = isReady ? args : last.args;
  const { rows, gone, waiting } = shown;

  const listed = useMemo(() => (gone.size === 0 ? rows : rows.filter(({ _id }) => !gone.has(_id))), [rows, gone]);
  useEffect(() => onRows(listed), [listed, onRows]);

  const vain = useRef({ rows: 0, pages: 0 });
  const loadMore = useLatest(() => {
    const isVain = vain.current.rows === now.rows.length;
    vain.current = { rows: now.rows.length, pages: isVain ? vain.current.pages + 1 : 0 };
    list.loadMore();
  });
  const isWanted = () => now.canLoadMore && (now.rows.length < FEWEST || vain.current.pages < VAIN);
  const fill = useLatest(() => {
    if (now.isLoading && isWanted()) loadMore();
  });
  useEffect(() => fill(), [now, fill]); // a page can shrink to nothing, although more rows follow

  // Before useWindow, which sees the rows of this commit.
  const see = usePlace({ table, url, place, rows, isStale, isDone: !now.isLoadingMore });
  const [seen, setSeen] = useState(0); // rows in the window, for PageDown
  const onSee = (found: Seen) => {
    if (isStale) return;
    list.look(found.first, found.last);
    hold.set("scroll", found.isScrolled);
    see(found);
    setSeen(found.last - found.first);
    if (found.isNearEnd && isWanted()) loadMore();
  };
  const range = useWindow({ table, count: isLoading ? 0 : rows.length, onSee });

  // The row that stays in the document: it has the focus, or is to get it.
  const [kept, setKept] = useState<{ clerkId: string; isWish: boolean; hasFocus: boolean } | null>(null);
  const onFocus = (clerkId: string | null) => setKept(clerkId === null ? null : { clerkId, isWish: false, hasFocus: true });
  useLayout(() => {
    if (kept === null || !kept.isWish) return;
    const row = table.current?.querySelector(`[data-clerk-id="${CSS.escape(kept.clerkId)}"]`);
    row?.scrollIntoView({ block: "nearest" });
    if (kept.hasFocus) row?.querySelector("a")?.focus({ preventScroll: true });
  }, [kept]);
  const go = (clerkId: string, hasFocus = true) => setKept({ clerkId, isWish: true, hasFocus });
  useEffect(() => {
    revealRef.current = (clerkId) => go(clerkId);
    return () => {
      revealRef.current = null;
    };
  }, [revealRef]);

  const [note, setNote] = useState<Note | null>(null);
  const tell = useLatest((text: string) => setNote((before) => ({ text, number: (before?.number ?? 0) + 1 })));
  const holding = useMemo(() => ({ hold, tell }), [hold, tell]);
  const onNoted = useLatest(() => setNote(null));
  const showAll = (isByKeyboard: boolean) => {
    const waited = held.showAll();
    tell(words.shownNow(waited.length, formats.number(waited.length)));
    if (waited[0] !== undefined) go(waited[0].clerkId, isByKeyboard);
  };

  if (isReady && rows.length === 0) {
    const isFiltered = [shownArgs.search, shownArgs.status, shownArgs.filter].some((it) => it !== undefined);
    const clear = () => onChange(EVERYONE);
    return (
      <div className="table-frame" aria-busy={isStale}>
        {isFiltered ? <NoMatch {...shownArgs} onClear={clear} /> : <NoUsers />}
      </div>
    );
  }

  const isSearch = shownArgs.search !== undefined;
  const isNewest = shownArgs.status === undefined && shownArgs.filter === undefined && shownArgs.sort?.by === NEWEST_FIRST.by && shownArgs.sort.order === NEWEST_FIRST.order;
  const counted = totalOf(counts, shownArgs.status);
  const total = !isSearch && counted !== undefined && counted >= rows.length ? counted : undefined;
  const size = total ?? (now.canLoadMore || now.isLoadingMore ? -2 : rows.length); // -1: unknown
  return (
    <HoldProvider value={holding}>
      <div className="table-frame">
        <News waiting={waiting} isNewest={isNewest} onShow={showAll} note={note} onNoted={onNoted} />
        <OfflineNote isMissing={isLoading || (isStale && JSON.stringify(shownArgs) !== JSON.stringify(args))}>{words.offline}</OfflineNote>
        <table
          ref={table}
          className="table users-table"
          role="table"
          aria-label={words.users}
          aria-rowcount={size + 1}
          aria-busy={isLoading || isStale}
        >
          <UsersHead
            view={view}
            onSort={(sort) => onChange({ sort })}
            hasActions={manage !== undefined}
            selectAll={manage && <manage.SelectAll />}
          />
          {isLoading ? (
            <SkeletonRows cells={userCells(columns.length, manage !== undefined)} />
          ) : (
            <UserRows
              shown={shown}
              range={range}
              kept={kept?.clerkId ?? null}
              page={Math.max(1, seen - 1)}
              hold={hold}
              onGo={go}
              onFocus={onFocus}
              onOpen={onOpen}
              manage={manage}
            />
          )}
        </table>
        {!isLoading && (
          <LoadMore
            isLoading={now.isLoadingMore}
            onLoad={isStale || !now.canLoadMore ? null : loadMore}
            problem={now.error !== null && words.moreFailed}
            onRetry={() => list.retry()}
          >
            {isSearch ? matches(messages, rows.length) : summary(messages, formats, rows.length, total)}
          </LoadMore>
        )}
        {manage !== undefined && (
          <manage.SelectionBar
            rows={listed}
            args={shownArgs}
            total={total}
            hasMore={now.canLoadMore || now.isLoadingMore || (isSearch && rows.length >= SEARCH_LIMIT)}
          />
        )}
      </div>
    </HoldProvider>
  );
}

function summary({ list }: Messages, { number }: Formats, shown: number, total: number | undefined): string {
  return total === undefined ? number(shown) : list.shownOf(number(shown), number(total));
}

function matches({ list }: Messages, shown: number): string {
  return shown >= SEARCH_LIMIT ? list.bestMatches(SEARCH_LIMIT) : list.matches(shown);
}
