import { Link, useLocation } from "wouter";

const PAGES = [
  ["/users", "Users"],
  ["/audit", "Audit log"],
] as const;

export function Nav() {
  const [path] = useLocation();
  return (
    <nav className="nav" aria-label="Pages">
      {PAGES.map(([href, label]) => (
        <Link key={href} href={href} className="nav-link" aria-current={path === href ? "page" : undefined}>
          {label}
        </Link>
      ))}
    </nav>
  );
}
