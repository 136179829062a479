// An app that scrolls in an element of its own, with a chat in a shadow root, a field that a library draws in a closed one,
// and a column with a link and a field.
import { UsersPage, type Column } from "clerk-convex-react";
import { base, start, useProps } from "./app.tsx";

const COLUMNS: Column[] = [
  {
    name: "plan",
    width: "160px",
    render: ({ clerkId }) => (
      <>
        <a href={`#plan-of-${clerkId}`}>Plan</a> <input aria-label="Seats" size={4} />
      </>
    ),
  },
];
const keys = new URLSearchParams(location.search).get("keys") !== "off";

for (const mode of ["open", "closed"] as const) {
  const chat = document.createElement("team-chat");
  document.body.append(chat);
  const root = chat.attachShadow({ mode });
  root.innerHTML = `<input aria-label="${mode} chat">`;
}

start(function App() {
  return (
    <main style={{ height: "60vh", overflow: "auto" }}>
      <UsersPage {...useProps()} paths={{ users: `${base}/users`, audit: null, invitations: null }} columns={COLUMNS} keys={keys} />
    </main>
  );
});
