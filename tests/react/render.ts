// Renders the pages to a string, under the version of React that the first argument names.
import { registerHooks } from "node:module";

const EIGHTEEN = new URL("eighteen/package.json", import.meta.url).href;

const [, , major] = process.argv;
if (major === "18") {
  registerHooks({
    resolve: (name, context, next) =>
      next(name, /^react(-dom)?(\/|$)/.test(name) ? { ...context, parentURL: EIGHTEEN } : context),
  });
}
const { createElement: h, version } = await import("react");
const { renderToString } = await import("react-dom/server");
const { ConvexProviderWithAuth, ConvexReactClient } = await import("convex/react");
const { AuditPage, Failure, RouterProvider, Shell, UsersPage } = await import("clerk-convex-react");

const { UserRow } = await import("../../react/dist/users/UserRow.js");
const { actionsFor } = await import("../../react/dist/manage/words.js");

const client = new ConvexReactClient("https://happy-animal-123.convex.cloud");
const useAuth = () => ({ isLoading: true, isAuthenticated: false, fetchAccessToken: async () => null });
const router = {
  location: "/users?status=banned",
  navigate: () => {},
  Link: ({ href, children }: { href: string; children?: unknown }) => h("a", { href }, children as string),
};
const USER = { _id: "1", _creationTime: 1, clerkId: "user_1", status: "active", createdAt: 1, plan: "pro" } as const;
const session = { getToken: async () => null };

const render = (page: ReturnType<typeof h>) =>
  renderToString(h(ConvexProviderWithAuth, { client, useAuth, children: page }));

process.stdout.write(
  JSON.stringify({
    version,
    users: render(h(RouterProvider, { router, children: h(UsersPage, { api: "/api/users", session }) })),
    audit: render(h(AuditPage, { frame: false })),
    row: render(
      h(Shell, {
        columns: [{ name: "plan", label: "Plan" }, { name: "seats" }, { name: "card", render: (it) => h("b", null, it.clerkId) }],
        children: h("table", null, h("tbody", null, h(UserRow, { user: USER, isNew: false }))),
      }),
    ),
    columns: render(h(UsersPage, { title: "Acme", columns: [{ name: "plan", label: "Plan", width: "80px" }], frame: true })),
    actions: actionsFor("locked", (action) => !["ban", "delete"].includes(action)),
    parts: render(
      h(Shell, { children: h(Failure, { title: "It broke", error: new Error("Not today."), onRetry: () => {} }) }),
    ),
  }),
);
process.exit(); // the client would try to connect for ever
