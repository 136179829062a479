// The interface between the pages and the router of the app. The adapters implement it: clerk-convex-react/next,
// /react-router, /wouter, and the plain history below.
import {
  createContext,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
  type AnchorHTMLAttributes,
  type ComponentType,
  type MouseEvent,
  type ReactNode,
  type RefObject,
} from "react";
import { useLatest } from "../ui/useLayout.ts";

export type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & { href: string };
export type NavigateOptions = { replace?: boolean };
export type Router = {
  location: string; // path and query, such as "/users?status=banned"
  navigate: (to: string, options?: NavigateOptions) => void;
  Link: ComponentType<LinkProps>;
};

type Routed = { router: Router; askedRef: RefObject<string | null> }; // the query that the router was asked for last, until it arrives

const RouterContext = createContext<Routed | null>(null);

// Gives the pages within it a router. Each adapter is such a provider.
export function RouterProvider({ router, children }: { router: Router; children: ReactNode }): ReactNode {
  const askedRef = useRef<string | null>(null);
  useEffect(() => {
    askedRef.current = null;
  }, [router.location]);
  const routed = useMemo(() => ({ router, askedRef }), [router]);
  return <RouterContext.Provider value={routed}>{children}</RouterContext.Provider>;
}

function useRouted(): Routed {
  const routed = useContext(RouterContext);
  if (routed === null) throw new Error("useRouter: there is no router around this component.");
  return routed;
}

export function useRouter(): Router {
  return useRouted().router;
}

// Keeps the router of the app, or brings the plain history where there is none.
export function AnyRouter({ children }: { children: ReactNode }): ReactNode {
  return useContext(RouterContext) === null ? <HistoryRouter>{children}</HistoryRouter> : children;
}

const NAVIGATED = "clerk-convex:navigated"; // pushState has no event of its own

// The browser's history without a router: queries change in place, and a link to another page loads its document,
// because nothing here knows how to show that page. `ssrLocation` is the location on a server and at hydration.
export function HistoryRouter({ children, ssrLocation = "/" }: { children: ReactNode; ssrLocation?: string }): ReactNode {
  const location = useSyncExternalStore(subscribe, read, () => ssrLocation);
  const router = useMemo(() => ({ location, navigate, Link: HistoryLink }), [location]);
  return <RouterProvider router={router}>{children}</RouterProvider>;
}

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(NAVIGATED, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(NAVIGATED, listener);
  };
}

function read(): string {
  return location.pathname + location.search;
}

function navigate(to: string, { replace = false }: NavigateOptions = {}): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  dispatchEvent(new Event(NAVIGATED));
}

function HistoryLink({ onClick, ...props }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return; // a new tab or window
    if (pathOf(props.href) !== location.pathname) return;
    event.preventDefault();
    navigate(props.href);
  };
  return <a {...props} onClick={follow} />;
}

// Returns the parameters of the URL, and a function that changes them. It keeps its identity. A router may take a while:
// a change that comes meanwhile begins with what it was asked for before.
export function useQueryParams() {
  const { router, askedRef } = useRouted();
  const [path = "", query = ""] = split(router.location);
  const params = useMemo(() => new URLSearchParams(query), [query]);
  const setParams = useLatest((change: (now: URLSearchParams) => URLSearchParams, options?: NavigateOptions) => {
    const written = change(new URLSearchParams(askedRef.current ?? query)).toString();
    askedRef.current = written;
    router.navigate(written === "" ? path : `${path}?${written}`, options);
  });
  return [params, setParams] as const;
}

export function pathOf(location: string): string {
  return split(location)[0]!;
}

function split(location: string): string[] {
  const [path] = location.split(/[?#]/, 1);
  const query = location.slice(path!.length).split("#", 1)[0]!;
  return [path!, query.slice(1)];
}
