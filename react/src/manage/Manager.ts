// Holds which actions are in progress, which dialogs are open and which notices are shown. It is outside React's state,
// so that an action on one user renders only that user's row again.
import type { UserSummary } from "../functions.ts";
import { displayName } from "../users/displayName.ts";
import { ask, send, type Answer, type Asked as Answered, type Call, type Problem, type Request, type Service, type UserAction, type UserCall } from "./calls.ts";

const NOTICE_MS = 6000; // how long a notice of success is shown
const SHOWN_WITHIN_MS = 5000; // how long to wait for Convex's update of the row; after that the row is shown as it is

export type Asked = Exclude<UserAction, "update" | "role" | "unban" | "unlock">; // the actions that need a confirmation
export type Dialog =
  | { kind: "new" }
  | { kind: "edit" | "role"; user: UserSummary }
  | { kind: "confirm"; user: UserSummary; action: Asked };
export type Notice = { id: number; call: Call; name: string; answer: Answer };
export type Pending = { call: UserCall; isAnswered: boolean };

export type State = {
  menu: { opening: number; user: UserSummary; anchor: HTMLElement } | null;
  dialog: Dialog | null;
  notices: readonly Notice[];
  pending: ReadonlyMap<string, Pending>; // by Clerk id
  outage: string | null; // why the service refuses every action; null: it does not
  isInDetails: boolean; // true: the details of a user are open, and notices are shown there
};

export class Manager {
  state: State = {
    menu: null,
    dialog: null,
    notices: [],
    pending: new Map(),
    outage: null,
    isInDetails: false,
  };
  #service: Service;
  #listeners = new Set<() => void>();
  #lastNumber = 0;

  constructor(service: Service) {
    this.#service = service;
  }

  connect(service: Service): void {
    this.#service = service;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.#listeners) listener();
  }

  // Each opening has a number, because the event that closes the previous menu may arrive later.
  openMenu(user: UserSummary, anchor: HTMLElement): void {
    this.set({ menu: { opening: ++this.#lastNumber, user, anchor } });
  }

  // Handles a choice in a menu. Dangerous actions and actions with a form open a dialog first.
  choose(action: UserAction, user: UserSummary): void {
    this.set({ menu: null });
    if (action === "update") this.set({ dialog: { kind: "edit", user } });
    else if (action === "role") this.set({ dialog: { kind: "role", user } });
    else if (action === "unban" || action === "unlock") void this.do({ action, clerkId: user.clerkId }, displayName(user));
    else this.set({ dialog: { kind: "confirm", user, action } });
  }

  // Sends a call, and shows a notice of success or failure.
  async do(call: Call, name: string): Promise<void> {
    const answer = await this.act(call, name);
    if (answer !== null && !answer.isDone) this.tell({ call, name, answer });
  }

  // Sends a call, and shows a notice only of success. Returns null if another action on this user is in progress.
  async act(call: Call, name: string): Promise<Answer | null> {
    const clerkId = call.action === "create" ? null : call.clerkId;
    if (clerkId !== null && this.state.pending.get(clerkId)?.isAnswered === false) return null;
    if (clerkId !== null) this.#setPending(clerkId, { call: call as UserCall, isAnswered: false });
    const isOlder = (notice: Notice) => notice.call.action !== "create" && notice.call.clerkId === clerkId;
    this.set({ notices: this.state.notices.filter((notice) => !isOlder(notice)) });

    const answer = await send(call, this.#service);
    if (clerkId !== null) this.#settle(clerkId, call as UserCall, answer);
    if (answer.isDone) this.tell({ call, name, answer });
    else this.#note(answer);
    return answer;
  }

  // Sends a request that is shown where it was made.
  async ask<Value>(request: Request, read: (body: any) => Value | undefined): Promise<Answered<Value>> {
    const answer = await ask(request, this.#service, read);
    if (!answer.isDone) this.#note(answer);
    return answer;
  }

  tell(told: Omit<Notice, "id">): void {
    const notice = { id: ++this.#lastNumber, ...told };
    this.set({ notices: [...this.state.notices, notice] });
    if (told.answer.isDone && told.answer.synced) setTimeout(() => this.dismiss(notice), NOTICE_MS);
  }

  dismiss({ id }: Notice): void {
    this.set({ notices: this.state.notices.filter((notice) => notice.id !== id) });
  }

  #settle(clerkId: string, call: UserCall, answer: Answer): void {
    if (!answer.isDone || !answer.synced) return this.#setPending(clerkId, null);
    // The change is in Convex, and its update of the row is on the way.
    const pending = { call, isAnswered: true };
    this.#setPending(clerkId, pending);
    setTimeout(() => {
      if (this.state.pending.get(clerkId) === pending) this.#setPending(clerkId, null);
    }, SHOWN_WITHIN_MS);
  }

  #setPending(clerkId: string, pending: Pending | null): void {
    const changed = new Map(this.state.pending);
    if (pending === null) changed.delete(clerkId);
    else changed.set(clerkId, pending);
    this.set({ pending: changed });
  }

  // Keeps a problem that concerns every action, until it may have changed.
  #note({ code, message, retryAt }: Problem): void {
    if (code !== "not_set_up" && code !== "not_mounted") return;
    this.set({ outage: message });
    if (retryAt > 0) setTimeout(() => this.set({ outage: null }), retryAt - Date.now());
  }
}

// Returns whether the row does not show the result of the action yet. Convex's row decides, not the service's answer.
export function isUnderWay({ call, isAnswered }: Pending, user: UserSummary): boolean {
  switch (call.action) {
    case "ban":
      return user.status !== "banned";
    case "unban":
      return user.status === "banned";
    case "lock":
      return user.status === "active";
    case "unlock":
      return user.status === "locked";
    case "role":
      return (user.role ?? null) !== call.role;
    case "update":
      return !isAnswered;
    case "delete":
      return true;
  }
}
