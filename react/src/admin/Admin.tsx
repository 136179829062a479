import { useState, type ReactNode } from "react";
import { Gate } from "../access/Gate.tsx";
import { useSession } from "../auth/session.ts";
import { Frame } from "../frame/Frame.tsx";
import { Help } from "../frame/Help.tsx";
import { Nav } from "../frame/Nav.tsx";
import { PAGES, PageSkeleton, type Page } from "../frame/PageSkeleton.tsx";
import { UserMenu } from "../frame/UserMenu.tsx";
import type { Me } from "../functions.ts";
import type { Service } from "../manage/calls.ts";
import { ManageProvider } from "../manage/ManageProvider.tsx";
import { pathOf, useRouter } from "../router/router.tsx";
import { Live } from "../ui/Live.tsx";
import { WaitingNote } from "../ui/WaitingNote.tsx";
import { useOptions } from "./options.ts";
import { useService } from "./service.ts";
import { Shell, type ShellProps } from "./Shell.tsx";

export type AdminProps = ShellProps & {
  // The URL of the service's user_routes(), through which admins act. Without it the pages only read.
  api?: string | null;
  // The page whose outline is shown while its data load. The default follows from the path.
  page?: Page;
};

// The pages' frame, for admins. An app with both pages and one gate puts <Users> and <Audit> into it.
export function Admin({ children, api = null, page, ...shell }: AdminProps & { children: ReactNode }): ReactNode {
  return (
    <Shell {...shell}>
      <Gated api={api} page={page} isManaged={api !== null && shell.actions !== false}>
        {children}
      </Gated>
    </Shell>
  );
}

type Props = { api: string | null; page: AdminProps["page"]; isManaged: boolean; children: ReactNode };

function Gated({ api, page, isManaged, children }: Props) {
  const { location } = useRouter();
  const { paths } = useOptions();
  const { getToken } = useSession();
  const service = useService(api);
  const [isHelpOpen, setHelpOpen] = useState(false);
  const drawn = page ?? PAGES.find((name) => paths[name] === pathOf(location)) ?? "users";
  return (
    <Gate
      waiting={<PageSkeleton page={drawn} isManaged={isManaged && getToken !== undefined} live={<Live />} note={<WaitingNote />} />}
      service={service}
    >
      {(me) => (
        <Frame
          nav={<Nav isManaged={isManaged && service !== null} />}
          end={
            <>
              <Live />
              <UserMenu user={me.user} onHelp={() => setHelpOpen(true)} />
            </>
          }
        >
          <Managed service={isManaged ? service : null} me={me}>
            {children}
          </Managed>
          <Help
            page={drawn}
            isManaged={isManaged && service !== null}
            isOpen={isHelpOpen}
            onOpen={() => setHelpOpen(true)}
            onClose={() => setHelpOpen(false)}
          />
        </Frame>
      )}
    </Gate>
  );
}

function Managed({ service, me, children }: { service: Service | null; me: Me; children: ReactNode }) {
  if (service === null) return children;
  return (
    <ManageProvider service={service} me={me}>
      {children}
    </ManageProvider>
  );
}
