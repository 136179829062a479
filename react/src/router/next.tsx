"use client";
import Link from "next/link";
import { usePathname, useRouter, useSearchParams } from "next/navigation";
import { Suspense, useMemo, type ReactNode } from "react";
import { RouterProvider, type LinkProps, type NavigateOptions } from "./router.tsx";

// For apps with Next.js and its app router. Paths are those within its basePath. Next.js renders what reads the query
// only in the browser, so `fallback` is in the HTML of the server.
export function NextRouter({ children, fallback = null }: { children: ReactNode; fallback?: ReactNode }): ReactNode {
  return (
    <Suspense fallback={fallback}>
      <WithQuery>{children}</WithQuery>
    </Suspense>
  );
}

function WithQuery({ children }: { children: ReactNode }) {
  const search = useSearchParams().toString();
  const path = usePathname();
  const go = useRouter();
  const location = search === "" ? path : `${path}?${search}`;
  const router = useMemo(
    () => ({
      location,
      navigate: (to: string, { replace = false }: NavigateOptions = {}) =>
        replace ? go.replace(to, { scroll: false }) : go.push(to, { scroll: false }),
      Link: NextLink,
    }),
    [location, go],
  );
  return <RouterProvider router={router}>{children}</RouterProvider>;
}

function NextLink(props: LinkProps) {
  return <Link {...props} prefetch={false} />;
}
