import { useOptions } from "../admin/options.ts";
import { pathOf, useRouter } from "../router/router.tsx";

export function Nav() {
  const { location, Link } = useRouter();
  const { paths } = useOptions();
  const path = pathOf(location);
  const pages = [
    [paths.users, "Users"],
    [paths.audit, "Audit log"],
  ] as const;
  return (
    <nav className="nav" aria-label="Pages">
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
