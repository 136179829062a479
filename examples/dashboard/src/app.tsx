import { Suspense, use, type ReactNode } from "react";
import { Redirect, Route, Router, Switch, useLocation } from "wouter";
import { Gate } from "./access/Gate.tsx";
import { AuditPage } from "./audit/AuditPage.tsx";
import { usersApi } from "./config.ts";
import { Frame } from "./frame/Frame.tsx";
import { Nav } from "./frame/Nav.tsx";
import { PageSkeleton } from "./frame/PageSkeleton.tsx";
import { UserMenu } from "./frame/UserMenu.tsx";
import { FunctionsProvider, type Me } from "./functions.ts";
import { manage } from "./manage/manage.ts";
import { ManageProvider } from "./manage/ManageProvider.tsx";
import type { Setup } from "./setup.ts";
import { Boundary } from "./ui/Boundary.tsx";
import { Failure } from "./ui/Failure.tsx";
import { Live } from "./ui/Live.tsx";
import { UsersPage } from "./users/UsersPage.tsx";

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
