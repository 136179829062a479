// An app without a router. Its server gives the same document for both paths.
import { AuditPage, UsersPage } from "clerk-convex-react";
import { base, start, useProps } from "./app.tsx";

const Page = location.pathname === `${base}/audit` ? AuditPage : UsersPage;

start(function App() {
  return <Page {...useProps()} paths={{ users: `${base}/users`, audit: `${base}/audit` }} />;
});
