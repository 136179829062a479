// Words for those who may not see the users.
const GOES_ON = "This page continues by itself when that has happened.";

export const access = {
  title: {
    not_signed_in: "Sign in to see the users",
    not_accepted: "Your sign-in was not accepted",
    not_synced: "Your account has not arrived yet",
    deleted: "Your account was deleted",
    not_active: "Your account is banned or locked, or your company has removed it",
    not_admin: "This page is for administrators",
  },
  text: {
    not_signed_in: "This dashboard is for administrators.",
    not_accepted:
      "You are signed in, but this page could not confirm it. Sign in again, and if that does not help, tell your administrator.",
    not_synced: `It usually takes a few seconds. ${GOES_ON}`,
    deleted: "Sign in with another one.",
    not_active: `Another administrator can end a ban or a lock, and your company’s directory can take you back. ${GOES_ON}`,
    not_admin: `Your account has no access to it. If you need it, ask an administrator, who may want to know your id. ${GOES_ON}`,
  },
  yourId: "Your id:",
  yourIdCopied: "your id", // follows "Copy"
  noClerk: "Clerk cannot be reached just now, so nothing has changed. Try again.",
  notLoaded: "The dashboard could not be loaded",
  broken: "Something went wrong on this page",
};
