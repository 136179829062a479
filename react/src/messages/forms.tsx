// Words of the dialogs in which a user is edited, and of those that ask first.
import type { ReactNode } from "react";

export const forms = {
  cancel: "Cancel",
  save: "Save",
  submitIn: (submit: string, seconds: string) => `${submit} in ${seconds} s`,
  correct: "Correct what is marked, and try again.",
  isBusy: "Something else is being done with this user. Wait until it is.",

  editUser: "Edit user",
  firstName: "First name",
  lastName: "Last name",
  username: "Username",
  externalId: "External id",
  externalIdHint: "What another system calls this user.",

  changeRole: "Change role",
  role: "Role",
  noRole: "None", // in the empty field
  none: "none", // the button that empties it
  roleHint: "Any text. It is kept in the public metadata at Clerk.",
  adminHint: "Sees every user on this page, and may do all that you may.",
  usualRoles: "Usual roles",

  ask: (label: string, name: ReactNode): ReactNode => (
    <>
      {label} {name}?
    </>
  ),
  isAdmin: "This is an administrator, who loses access to this dashboard.",
  confirm: (label: string, name: ReactNode): ReactNode => (
    <>
      {label} {name}
    </>
  ),
};
