import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { pathOf, useRouter } from "../router/router.tsx";

// isManaged: the app lets admins act.
export function Nav({ isManaged }: { isManaged: boolean }) {
  const { location, Link } = useRouter();
  const { paths, isOn } = useOptions();
  const { frame } = useMessages();
  const path = pathOf(location);
  const pages = [
    [paths.users, frame.users],
    [paths.audit, frame.audit],
    [isManaged && isOn("invite") ? paths.invitations : null, frame.invitations],
  ] as const;
  return (
    <nav className="nav" aria-label={frame.pages}>
      {pages.map(
        ([href, label]) =>
          href !== null && (
            <Link key={href} href={href} className="nav-link" aria-current={path === href ? "page" : undefined}>
              {label}
            </Link>
          ),
      )}
    </nav>
  );
}
