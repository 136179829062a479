import { Suspense, use } from "react";
import { Redirect, Route, Router, Switch, useLocation } from "wouter";
import { AuditPage } from "./audit/AuditPage.tsx";
import { Gate } from "./access/Gate.tsx";
import { FunctionsProvider } from "./functions.ts";
import type { Setup } from "./setup.ts";
import { Boundary } from "./ui/Boundary.tsx";
import { Failure } from "./ui/Failure.tsx";
import { Frame } from "./frame/Frame.tsx";
import { Live } from "./ui/Live.tsx";
import { Nav } from "./frame/Nav.tsx";
import { PageSkeleton } from "./frame/PageSkeleton.tsx";
import { UserMenu } from "./frame/UserMenu.tsx";
import { UsersPage } from "./users/UsersPage.tsx";

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
        <Gate waiting={<Waiting live={<Live />} />}>
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
              <Switch>
                <Route path="/users" component={UsersPage} />
                <Route path="/audit" component={AuditPage} />
                <Route>
                  <Redirect to="/users" replace />
                </Route>
              </Switch>
            </Frame>
          )}
        </Gate>
      </FunctionsProvider>
    </AuthProvider>
  );
}

function Waiting({ live }: { live?: React.ReactNode }) {
  const [path] = useLocation();
  return <PageSkeleton page={path === "/audit" ? "audit" : "users"} live={live} />;
}

function NotStarted({ error }: { error: Error }) {
  return (
    <Frame>
      <Failure title="The dashboard could not start" error={error} onRetry={() => location.reload()} />
    </Frame>
  );
}
