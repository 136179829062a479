import { AuditPage, UsersPage } from "clerk-convex-react";
import { ReactRouter } from "clerk-convex-react/react-router";
import { BrowserRouter, Route, Routes } from "react-router";
import { base, start, useProps } from "./app.tsx";

start(function App() {
  const props = useProps();
  return (
    <BrowserRouter basename={base}>
      <ReactRouter>
        <Routes>
          <Route path="/users" element={<UsersPage {...props} />} />
          <Route path="/audit" element={<AuditPage {...props} />} />
        </Routes>
      </ReactRouter>
    </BrowserRouter>
  );
});
