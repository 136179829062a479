// An app without a router in another language: each text of the catalogue stands in brackets, and its words are longer by a
// third, as German ones are. What a page shows without brackets is no text of the catalogue.
import { AuditPage, ENGLISH, InvitationsPage, UsersPage, type OwnMessages } from "clerk-convex-react";
import { isValidElement } from "react";
import { base, start, useProps } from "./app.tsx";

const longer = (text: string) => `⟦${text.replace(/\p{L}{3,}/gu, (word) => word + "ö".repeat(Math.ceil(word.length / 3)))}⟧`;

function foreign(words: unknown): unknown {
  if (typeof words === "string") return longer(words);
  if (typeof words === "function") return (...values: unknown[]) => foreign(words(...values));
  if (isValidElement(words)) return <>⟦{words}⟧</>;
  if (words === null || typeof words !== "object") return words;
  return Object.fromEntries(Object.entries(words).map(([key, text]) => [key, foreign(text)]));
}

const MESSAGES = foreign(ENGLISH) as OwnMessages;
const PAGES = { audit: AuditPage, invitations: InvitationsPage, users: UsersPage };
const paths = { users: `${base}/users`, audit: `${base}/audit`, invitations: `${base}/invitations` };
const Page = PAGES[location.pathname.slice(base.length + 1) as keyof typeof PAGES];

start(function App() {
  return <Page {...useProps()} paths={paths} messages={MESSAGES} locale="de-AT" />;
});
