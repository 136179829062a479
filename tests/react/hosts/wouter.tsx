import { AuditPage, UsersPage } from "clerk-convex-react";
import { WouterRouter } from "clerk-convex-react/wouter";
import { Route, Router, Switch } from "wouter";
import { base, start, useProps } from "./app.tsx";

start(function App() {
  const props = useProps();
  return (
    <Router base={base}>
      <WouterRouter>
        <Switch>
          <Route path="/users">
            <UsersPage {...props} />
          </Route>
          <Route path="/audit">
            <AuditPage {...props} />
          </Route>
        </Switch>
      </WouterRouter>
    </Router>
  );
});
