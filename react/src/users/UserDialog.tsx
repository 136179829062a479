import { useMemo, useState } from "react";
import { useAdminAnswer } from "../data/useAnswer.ts";
import { useFunctions } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Failure } from "../ui/Failure.tsx";
import { OfflineNote } from "../ui/OfflineNote.tsx";
import { Region } from "../ui/Region.tsx";
import { Sheet } from "../ui/Sheet.tsx";
import { displayName } from "./displayName.ts";
import { History } from "./History.tsx";
import type { Manage } from "./manage.ts";
import type { Listed } from "./listed.ts";
import { Steps } from "./Steps.tsx";
import { SyncState } from "./SyncState.tsx";
import { UserFields } from "./UserFields.tsx";

type Props = {
  clerkId: string;
  listed: readonly Listed[]; // the users of the list, through which one can go
  onShow: (clerkId: string) => void;
  onClose: () => void;
  manage?: Manage;
};

export function UserDialog({ clerkId, listed, onShow, onClose, manage }: Props) {
  const { sheet } = useMessages();
  const findRow = () => document.querySelector<HTMLElement>(`[data-clerk-id="${CSS.escape(clerkId)}"] a`);
  return (
    <Sheet label={sheet.user} returnTo={findRow} onClose={onClose}>
      <Steps clerkId={clerkId} listed={listed} onShow={onShow} />
      <Region title={sheet.notShown} resetKey={clerkId}>
        <LiveUser key={clerkId} clerkId={clerkId} manage={manage} />
      </Region>
      <Region title={sheet.notShown} resetKey={clerkId}>
        <SyncState key={clerkId} clerkId={clerkId} manage={manage} />
      </Region>
      <Region title={sheet.historyFailed} resetKey={clerkId}>
        <History key={clerkId} clerkId={clerkId} />
      </Region>
      {manage !== undefined && <manage.DetailsNotices />}
    </Sheet>
  );
}

function LiveUser({ clerkId, manage }: { clerkId: string; manage: Manage | undefined }) {
  const { sheet, ui } = useMessages();
  const { getUser } = useFunctions();
  const {
    value: user,
    error,
    retry,
  } = useAdminAnswer(
    getUser,
    useMemo(() => ({ clerkId }), [clerkId]),
  );
  const [lastName, setLastName] = useState<string | null>(null);
  if (user && displayName(user) !== lastName) setLastName(displayName(user));

  if (error !== undefined)
    return <Failure title={sheet.notLoaded} error={error} onRetry={retry} />;
  if (user === undefined) {
    return (
      <>
        <OfflineNote>{ui.userOffline}</OfflineNote>
        <UserSkeleton />
      </>
    );
  }
  if (user === null) return <Gone clerkId={clerkId} name={lastName} />;
  return <UserFields user={user} manage={manage} />;
}

function Gone({ clerkId, name }: { clerkId: string; name: string | null }) {
  const { sheet } = useMessages();
  return (
    <div className="notice" role="alert">
      <h2>{name === null ? sheet.noUser : sheet.deleted(<bdi>{name}</bdi>)}</h2>
      <p>{name === null ? sheet.noUserText : sheet.deletedText}</p>
      <p className="access-id">
        <code>{clerkId}</code>
        <CopyButton text={clerkId} label={sheet.id} />
      </p>
    </div>
  );
}

function UserSkeleton() {
  const { sheet } = useMessages();
  return (
    <div className="sheet-skeleton" aria-busy="true" aria-label={sheet.loading}>
      <div className="sheet-head">
        <span className="avatar is-large bone" />
        <div className="user-text">
          <span className="bone is-name" />
          <span className="bone is-email" />
        </div>
      </div>
      {Array.from({ length: 8 }, (_, index) => (
        <span key={index} className="bone is-field" />
      ))}
    </div>
  );
}
