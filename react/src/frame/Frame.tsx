import type { ReactNode } from "react";
import { useOptions } from "../admin/options.ts";

type Props = { children: ReactNode; nav?: ReactNode; end?: ReactNode };

export function Frame({ children, nav, end }: Props): ReactNode {
  const { title, frame } = useOptions();
  if (!frame) return <div className="frame-main">{children}</div>;
  return (
    <>
      <header className="frame-header">
        <div className="frame-bar">
          <div className="brand">
            <svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">
              <rect width="16" height="16" rx="4" className="brand-ground" />
              <circle cx="8" cy="6" r="2.4" fill="#fff" />
              <path d="M3.6 13a4.4 4 0 0 1 8.8 0z" fill="#fff" />
            </svg>
            <span className="brand-name">{title}</span>
          </div>
          {nav}
          <div className="frame-end">{end}</div>
        </div>
      </header>
      <main className="frame-main">{children}</main>
    </>
  );
}
