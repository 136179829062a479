"use client";
import { useMemo, type ReactNode } from "react";
import { Link, useLocation, useNavigate } from "react-router";
import { RouterProvider, type LinkProps } from "./router.tsx";

// For apps with React Router. Paths are those within its basename.
export function ReactRouter({ children }: { children: ReactNode }): ReactNode {
  const { pathname, search } = useLocation();
  const go = useNavigate();
  const location = pathname + search;
  const router = useMemo(
    () => ({
      location,
      navigate: (to: string, options?: { replace?: boolean }) => void go(to, { ...options, preventScrollReset: true }),
      Link: ReactRouterLink,
    }),
    [location, go],
  );
  return <RouterProvider router={router}>{children}</RouterProvider>;
}

function ReactRouterLink({ href, ...props }: LinkProps) {
  return <Link {...props} to={href} />;
}
