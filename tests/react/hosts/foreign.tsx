// An app without a router in another language: each text of the catalogue stands in brackets, and its words are longer by a
// third, as German ones are. What a page shows without brackets is no text of the catalogue.
import { AuditPage, ENGLISH, InvitationsPage, UsersPage, type OwnMessages } from "clerk-convex-react";
import { isValidElement } from "react";
import { base, start, useProps } from "./app.tsx";

const longer = (text: string) => `⟦${text.replace(/\p{L}{3,}/gu, (word) => word + "ö".repeat(Math.ceil(word.length / 3)))}⟧`;

// Texts like "3 of 5" have no word that depends on the number.
const UNCOUNTED = new Set(["more", "position", "progress", "shownOf"]);

// Languages have up to six forms of a word beside a number: so a function that gets one as text also gets the number.
function check(name: string, values: unknown[]) {
  const isCounted = values.some((value) => typeof value === "string" && /^\d[\d.,\u00a0]*$/.test(value));
  if (isCounted && !UNCOUNTED.has(name) && !values.some((value) => typeof value === "number")) {
    console.error(`${name} gets the text of a number, and not the number: ${values.join(", ")}`);
  }
}

function foreign(words: unknown, name = ""): unknown {
  if (typeof words === "string") return longer(words);
  if (typeof words === "function") {
    return (...values: unknown[]) => {
      check(name, values);
      return foreign(words(...values));
    };
  }
  if (isValidElement(words)) return <>⟦{words}⟧</>;
  if (words === null || typeof words !== "object") return words;
  return Object.fromEntries(Object.entries(words).map(([key, text]) => [key, foreign(text, key)]));
}

const MESSAGES = foreign(ENGLISH) as OwnMessages;
const PAGES = { audit: AuditPage, invitations: InvitationsPage, users: UsersPage };
const paths = { users: `${base}/users`, audit: `${base}/audit`, invitations: `${base}/invitations` };
const Page = PAGES[location.pathname.slice(base.length + 1) as keyof typeof PAGES];

start(function App() {
  return <Page {...useProps()} paths={paths} messages={MESSAGES} locale="de-AT" />;
});
