import { useMemo, useState, type ReactNode } from "react";
import type { Me } from "../functions.ts";
import { NewInvitation } from "../invitations/NewInvitation.tsx";
import { useMessages } from "../messages/messages.ts";
import { useLayout } from "../ui/useLayout.ts";
import { ManageContext } from "../users/manage.ts";
import { BulkDialog } from "./BulkDialog.tsx";
import type { Service } from "./calls.ts";
import { Confirm } from "./Confirm.tsx";
import { ManagerProvider, useManaged } from "./context.ts";
import { EditUser } from "./EditUser.tsx";
import { EditRole } from "./EditRole.tsx";
import { Manager } from "./Manager.ts";
import { manage } from "./manage.ts";
import { Menu } from "./Menu.tsx";
import { NewUser } from "./NewUser.tsx";
import { Notices } from "./Notices.tsx";

type Props = { service: Service; me: Me; children: ReactNode };

// Provides the actions of admins to the pages within it.
export function ManageProvider({ service, me, children }: Props) {
  const { manage: texts } = useMessages();
  const [manager] = useState(() => new Manager(service, texts));
  useLayout(() => {
    manager.connect(service, texts);
  }, [manager, service, texts]);
  const myId = me.user.clerkId;

  return (
    <ManagerProvider value={useMemo(() => ({ manager, myId }), [manager, myId])}>
      <ManageContext.Provider value={manage}>{children}</ManageContext.Provider>
      <Menu />
      <OpenDialog />
      <PageNotices />
    </ManagerProvider>
  );
}

function OpenDialog() {
  const dialog = useManaged((state) => state.dialog);
  switch (dialog?.kind) {
    case "new":
      return <NewUser />;
    case "invite":
      return <NewInvitation />;
    case "edit":
      return <EditUser user={dialog.user} />;
    case "role":
      return <EditRole user={dialog.user} />;
    case "bulk":
      return <BulkDialog action={dialog.action} users={dialog.users} />;
    case "confirm":
      return <Confirm user={dialog.user} action={dialog.action} />;
  }
  return null;
}

// While a dialog is open, everything outside it is inert.
function PageNotices() {
  const isInDetails = useManaged((state) => state.isInDetails);
  return isInDetails ? null : <Notices />;
}
