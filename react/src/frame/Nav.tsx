import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { pathOf, useRouter } from "../router/router.tsx";

export function Nav() {
  const { location, Link } = useRouter();
  const { paths } = useOptions();
  const { frame } = useMessages();
  const path = pathOf(location);
  const pages = [
    [paths.users, frame.users],
    [paths.audit, frame.audit],
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
