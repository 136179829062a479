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
const { StatsPanel } = await import("../../react/dist/stats/StatsPanel.js");
const { ExactTime } = await import("../../react/dist/ui/Time.js");
const { actionsFor } = await import("../../react/dist/manage/actions.js");

const client = new ConvexReactClient("https://happy-animal-123.convex.cloud");
const useAuth = () => ({ isLoading: true, isAuthenticated: false, fetchAccessToken: async () => null });
const router = {
  location: "/users?status=banned",
  navigate: () => {},
  Link: ({ href, children }: { href: string; children?: unknown }) => h("a", { href }, children as string),
};
const USER = { _id: "1", _creationTime: 1, clerkId: "user_1", status: "active", createdAt: 1, plan: "pro" } as const;
const STATS = { total: 12345, active: 12345, banned: 0, deprovisioned: 0, locked: 0, rebuilding: false, days: [{ day: "2026-12-24", signUps: 5 }] };
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
    german: render(
      h(UsersPage, {
        api: "/api/users",
        session,
        locale: "de-AT",
        messages: {
          frame: { title: "Übersicht", users: "Personen" },
          manage: { label: { create: "Neue Person" } },
          stats: { users: "Personen", signUpsIn: (days) => `Anmeldungen in ${days} Tagen` },
        },
      }),
    ),
    numbers: render(
      h(Shell, {
        locale: "de-AT",
        children: [
          h(StatsPanel, { key: 1, stats: STATS, error: undefined, onRetry: () => {} }),
          h(ExactTime, { key: 2, value: Date.UTC(2026, 11, 24, 17) }),
        ],
      }),
    ),
    actions: actionsFor("locked", (action) => !["ban", "delete"].includes(action)),
    parts: render(
      h(Shell, { children: h(Failure, { title: "It broke", error: new Error("Not today."), onRetry: () => {} }) }),
    ),
  }),
);
process.exit(); // the client would try to connect for ever
