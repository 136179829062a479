// Words of the actions of admins: their names, results and problems.
import type { ReactNode } from "react";
import type { Action } from "../manage/calls.ts";

const PARTICIPLES: Record<Action, string> = {
  create: "created",
  invite: "invited",
  revokeInvitation: "revoked",
  update: "changed",
  role: "changed",
  ban: "banned",
  unban: "unbanned",
  lock: "locked",
  unlock: "unlocked",
  delete: "deleted",
};

// Returns what an action changes: the user, whose name is in `who`, the role or the invitation.
function subject(action: Action, who: ReactNode): ReactNode {
  if (action === "revokeInvitation") return <>The invitation of {who}</>;
  return action === "role" ? <>The role of {who}</> : who;
}

export const manage = {
  label: {
    create: "New user",
    invite: "Invite",
    revokeInvitation: "Revoke",
    update: "Edit",
    role: "Change role",
    ban: "Ban",
    unban: "Unban",
    lock: "Lock",
    unlock: "Unlock",
    delete: "Delete",
  },
  progress: {
    create: "Creating…",
    invite: "Sending…",
    revokeInvitation: "Revoking…",
    update: "Saving…",
    role: "Saving…",
    ban: "Banning…",
    unban: "Unbanning…",
    lock: "Locking…",
    unlock: "Unlocking…",
    delete: "Deleting…",
  },
  // The effect of an action, which the admin confirms.
  consequence: {
    ban: "Signs this account out everywhere. It cannot sign in again until it is unbanned.",
    lock: "This account cannot sign in until it is unlocked, or until the time in Clerk’s settings is over. Where it is signed in, it stays so.",
    delete: "Deletes the account at Clerk and here, and signs it out everywhere. This is final: nothing brings it back.",
  },
  // The same for several users.
  consequenceForAll: {
    ban: "Signs these accounts out everywhere. They cannot sign in again until they are unbanned.",
    lock: "These accounts cannot sign in until they are unlocked, or until the time in Clerk’s settings is over. Where they are signed in, they stay so.",
    role: "Replaces the role of each. Without a text the role is removed.",
    delete: "Deletes these accounts at Clerk and here, and signs them out everywhere. This is final: nothing brings them back.",
  },
  actions: "Actions",
  itIsYou: "This is you. Another administrator can change your role, or ban, lock or delete you.",

  createUser: "Create user",
  email: "Email",
  phone: "Phone",
  username: "Username",
  firstName: "First name",
  lastName: "Last name",
  externalId: "External id",
  identifierHint: "One of these three is needed. Which ones, Clerk’s settings say.",
  noIdentifier: "An email address, a phone number or a username is needed.",

  // Titles of notices. `who` is the name of the user.
  done: (action: Action, who: ReactNode): ReactNode => (
    <>
      {subject(action, who)} was {PARTICIPLES[action]}.
    </>
  ),
  doneAtClerk: (action: Action, who: ReactNode): ReactNode => (
    <>
      {subject(action, who)} was {PARTICIPLES[action]}, but this page does not know it yet.
    </>
  ),
  notDone: (action: Action, who: ReactNode): ReactNode => (
    <>
      {subject(action, who)} was not {PARTICIPLES[action]}.
    </>
  ),
  notKnown: (action: Action, who: ReactNode): ReactNode => (
    <>
      It is not known whether {subject(action, who)} was {PARTICIPLES[action]}.
    </>
  ),
  undo: "Undo",
  retryIn: (seconds: number, text: string) => `Retry in ${text} s`,
  request: (id: ReactNode): ReactNode => <>Request {id}</>,

  // Problems of a call. The service's own messages are English; `refusals` replaces them, by their code.
  refusals: {} as Record<string, string>,
  fieldProblem: (message: string) => sentence(message),
  clerksWords: (message: string, words: string) => `${message} Clerk’s words: “${words}”`,
  mayBeDone: "It may have been done all the same: look at the user before you try again.",
  nothingChanged: "Nothing was changed.",
  notTried: "Not tried, because the request before failed.",
  noClerk: "Clerk cannot be reached, so the service cannot check your session.",
  signedOut: "You are signed out. Sign in and try again.",
  noNetwork: "There is no network.",
  tooSlow: (seconds: number) => `The service did not answer within ${seconds} s.`,
  noService: "The service cannot be reached, or the connection broke.",
  notServed: (url: string) => `User management is not served at ${url}.`,
  badStatus: (status: number) => `The service, or what is in front of it, answered ${status}.`,
};

// The service's messages about a field have no subject: "is not an email address".
function sentence(message: string): string {
  const whole = /^[A-Z]/.test(message) ? message : `This ${message}`;
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
