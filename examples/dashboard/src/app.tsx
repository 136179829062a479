import {
  AuditPage,
  Boundary,
  Failure,
  Frame,
  FunctionsProvider,
  Gate,
  Live,
  manage,
  ManageProvider,
  Nav,
  PageSkeleton,
  UserMenu,
  UsersPage,
  type Me,
} from "clerk-convex-react";
import { Suspense, use, type ReactNode } from "react";
import { Redirect, Route, Router, Switch, useLocation } from "wouter";
import { usersApi } from "./config.ts";
import type { Setup } from "./setup.ts";

const API = usersApi(import.meta.env.VITE_CLERK_CONVEX_API);

export function App({ setup }: { setup: Promise<Setup> }) {
  return (
    <Router base={import.meta.env.BASE_URL.replace(/\/$/, "")}>
      <Boundary fallback={(error) => <NotStarted error={error} />}>
        <Suspense fallback={<Waiting />}>
          <Dashboard setup={setup} />
        </Suspense>
      </Boundary>
    </Router>
  );
}

function Dashboard({ setup }: { setup: Promise<Setup> }) {
  const { functions, AuthProvider } = use(setup);
  return (
    <AuthProvider>
      <FunctionsProvider value={functions}>
        <Gate waiting={<Waiting live={<Live />} />} api={API}>
          {(me) => (
            <Frame
              nav={<Nav />}
              end={
                <>
                  <Live />
                  <UserMenu user={me.user} />
                </>
              }
            >
              <Managed me={me}>
                <Switch>
                  <Route path="/users">
                    <UsersPage manage={API === null ? undefined : manage} />
                  </Route>
                  <Route path="/audit" component={AuditPage} />
                  <Route>
                    <Redirect to="/users" replace />
                  </Route>
                </Switch>
              </Managed>
            </Frame>
          )}
        </Gate>
      </FunctionsProvider>
    </AuthProvider>
  );
}

function Managed({ me, children }: { me: Me; children: ReactNode }) {
  if (API === null) return children;
  return (
    <ManageProvider url={API} me={me}>
      {children}
    </ManageProvider>
  );
}

function Waiting({ live }: { live?: ReactNode }) {
  const [path] = useLocation();
  return <PageSkeleton page={path === "/audit" ? "audit" : "users"} isManaged={API !== null} live={live} />;
}

function NotStarted({ error }: { error: Error }) {
  return (
    <Frame>
      <Failure title="The dashboard could not start" error={error} onRetry={() => location.reload()} />
    </Frame>
  );
}
