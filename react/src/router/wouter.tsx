"use client";
import { useMemo, type ReactNode } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { RouterProvider, type LinkProps } from "./router.tsx";

// For apps with wouter. Paths are those within its <Router base>.
export function WouterRouter({ children }: { children: ReactNode }): ReactNode {
  const [path, navigate] = useLocation();
  const search = useSearch();
  const location = search === "" ? path : `${path}?${search}`;
  const router = useMemo(() => ({ location, navigate, Link: WouterLink }), [location, navigate]);
  return <RouterProvider router={router}>{children}</RouterProvider>;
}

function WouterLink(props: LinkProps) {
  return <Link {...props} />;
}
