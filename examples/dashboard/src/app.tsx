import { Admin, Audit, Failure, Frame, Invitations, PageSkeleton, Shell, Users } from "clerk-convex-react";
import { WouterRouter } from "clerk-convex-react/wouter";
import { Component, Suspense, use, type ReactNode } from "react";
import { Redirect, Route, Router, Switch, useLocation } from "wouter";
import { usersApi } from "./config.ts";
import type { Setup } from "./setup.ts";

const API = usersApi(import.meta.env.VITE_CLERK_CONVEX_API);

const PAGES: Record<string, "audit" | "invitations"> = { "/audit": "audit", "/invitations": "invitations" };

export function App({ setup }: { setup: Promise<Setup> }) {
  return (
    <Router base={import.meta.env.BASE_URL.replace(/\/$/, "")}>
      <WouterRouter>
        <Started>
          <Suspense fallback={<Waiting />}>
            <Dashboard setup={setup} />
          </Suspense>
        </Started>
      </WouterRouter>
    </Router>
  );
}

function Dashboard({ setup }: { setup: Promise<Setup> }) {
  const { functions, AuthProvider } = use(setup);
  return (
    <AuthProvider>
      <Admin api={API} functions={functions}>
        <Switch>
          <Route path="/users" component={Users} />
          <Route path="/audit" component={Audit} />
          <Route path="/invitations" component={Invitations} />
          <Route>
            <Redirect to="/users" replace />
          </Route>
        </Switch>
      </Admin>
    </AuthProvider>
  );
}

function Waiting() {
  const [path] = useLocation();
  return (
    <Shell>
      <PageSkeleton page={PAGES[path] ?? "users"} isManaged={API !== null} />
    </Shell>
  );
}

class Started extends Component<{ children: ReactNode }, { error: Error | null }> {
  state = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <Shell>
        <Frame>
          <Failure title="The dashboard could not start" error={error} onRetry={() => location.reload()} />
        </Frame>
      </Shell>
    );
  }
}
