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
  actionsFor: (name: string) => `Actions for ${name}`,
  auditLog: "Audit log of this user",
  shownOf: (count: string, total: string) => `${count} of ${total}`,
  matches: (count: number) => (count === 1 ? "1 match" : `${count} matches, best first`),
  bestMatches: (count: number) => `${count} best matches. Type more to narrow them down.`,
};
