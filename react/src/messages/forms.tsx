// Words of the dialogs in which a user is edited, and of those that ask first.
import type { ReactNode } from "react";

const WRONG = {
  empty: () => "There must be an object: {}.",
  notJson: (what: string) => `“${what}” is not JSON here.`,
  noComma: (what: string) => `A comma is missing before “${what}”.`,
  extraComma: () => "Nothing follows this comma.",
  noColon: (what: string) => `A colon is missing before “${what}”.`,
  notClosed: () => "The text ends too early: something is not closed.",
  afterEnd: (what: string) => `The object has ended, but “${what}” follows.`,
  twice: (what: string) => `The key “${what}” is there twice.`,
  notObject: () => "Metadata must be an object: {…}.",
  tooDeep: () => "This is nested deeper than 32 levels.",
};

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

  editMetadata: "Edit metadata",
  editMetadataTitle: "Edit public metadata",
  metadataText: "JSON",
  metadataHint: "The app in the user’s browser can read it.",
  metadataSaving: "Saving…",
  metadataSaved: "The public metadata was changed.",
  metadataUnknown: "Convex does not keep the public metadata of this app, so it cannot be edited here.",
  wrongAt: (line: string, column: string, text: string) => `Line ${line}, column ${column}: ${text}`,
  wrong: (fault: keyof typeof WRONG, what: string) => WRONG[fault](what),
  goThere: "Go there",
  tooLarge: (bytes: string, most: string) => `This has ${bytes} bytes. Clerk stores at most ${most}.`,
  lostNull: (path: string) => `Clerk removes a key whose value is null: remove ${path}, or give it another value.`,
  ownAdmin: "You cannot take the role admin from yourself. Ask another administrator.",
  rightJson: (changes: string, bytes: string, most: string) => `${changes}. ${bytes} of ${most} bytes.`,
  changeCount: (count: number, text: string) =>
    count === 0 ? "No change" : count === 1 ? "1 change" : `${text} changes`,
  rounded: (text: string, read: string) =>
    `All digits of ${text} are stored, but JavaScript reads it as ${read}. In quotes it is safe.`,
  makesAdmin: "This makes the user an administrator, who sees every user on this page, and may do all that you may.",
  unmakesAdmin: "This takes the role admin from the user, who loses access to this dashboard.",
  changes: "Changes",
  added: "Added",
  changed: "Changed",
  removed: "Removed",
  before: "Before",
  after: "After",
  meanwhile: "The metadata was changed meanwhile",
  meanwhileStays: "These changes are kept, because they are about other keys than yours.",
  meanwhileConflict: "You have changed the same keys. Nothing is saved before you choose.",
  leave: "Drop your changes?",
  leaveText: "What you have typed is not saved.",
  leaveNow: "Drop changes",
  newer: "Nothing was saved yet: Clerk had a newer state of this user, which is shown now. Look at it, and save again.",
  keepMine: "Put my changes on top",
  startAgain: "Drop my changes",
};
