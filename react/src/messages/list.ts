// Words of the list of users.
export const list = {
  users: "Users",
  failed: "The users could not be loaded",
  joined: "Joined",
  signedIn: "Signed in",
  never: "Never",
  neverSignedIn: "signed in", // follows "Never", where the column has no header
  noEmail: "No email",
  noName: "No name",
  unverified: "Unverified",
  gone: "No longer in this list",
  actionsFor: (name: string) => `Actions for ${name}`,
  menuClosed: (name: string) => `${name} is no longer in this list, so the menu was closed.`,
  auditLog: "Audit log of this user",
  shownOf: (count: string, total: string) => `${count} of ${total}`,
  matches: (count: number) => (count === 1 ? "1 match" : `${count} matches, best first`),
  bestMatches: (count: number) => `${count} best matches. Type more to narrow them down.`,
  // Rows that wait while the list is held still. The first is a number, the second its text.
  newUsers: (count: number, text: string) => (count === 1 ? "1 new user" : `${text} new users`),
  moreUsers: (count: number, text: string) => (count === 1 ? "1 more user" : `${text} more users`),
  showKey: "Show them (.)",
  waiting: "There are new rows. Press the full stop key to show them.",
  waitingNoKey: "There are new rows. Press the button above the list to show them.",
  shownNow: (count: number, text: string) => (count === 1 ? "1 new row is shown." : `${text} new rows are shown.`),
  moreFailed: "Some of the users could not be loaded.",
  offline: "Convex cannot be reached. What you asked for comes by itself when the connection is back.",
};
