// Holds which actions are in progress, which dialogs are open and which notices are shown. It is outside React's state,
// so that an action on one user renders only that user's row again.
import type { UserSummary } from "../functions.ts";
import type { Messages } from "../messages/messages.ts";
import {
  callOf,
  cancelledOf,
  isChange,
  pause,
  readResults,
  requestOf,
  resultsOf,
  stepsOf,
  undoOf,
  type BulkAction,
  type Confirmed,
  type Job,
  type Step,
} from "./bulk.ts";
import { displayName } from "../users/displayName.ts";
import { ask, send, type Answer, type Asked as Answered, type Call, type Problem, type Request, type Service, type UserAction, type UserCall } from "./calls.ts";

const NOTICE_MS = 6000; // how long a notice of success is shown
const OUTAGE_MS = 60_000; // how long no action is offered if the service does not say when it takes one
const SHOWN_WITHIN_MS = 5000; // how long to wait for Convex's update of the row; after that the row is shown as it is

export type Asked = Exclude<UserAction, "update" | "role" | "unban" | "unlock">; // the actions that need a confirmation
export type Dialog =
  | { kind: "new" | "invite" }
  | { kind: "edit" | "role"; user: UserSummary }
  | { kind: "bulk"; action: Confirmed; users: readonly UserSummary[] }
  | { kind: "confirm"; user: UserSummary; action: Asked };
export type Notice = { id: number; call: Call; name: string; answer: Answer; undo: UserCall | null };
export type Pending = { call: UserCall; isAnswered: boolean };

export type State = {
  menu: { opening: number; user: UserSummary; anchor: HTMLElement } | null;
  dialog: Dialog | null;
  notices: readonly Notice[];
  pending: ReadonlyMap<string, Pending>; // by Clerk id
  outage: string | null; // why the service refuses every action; null: it does not
  rows: readonly UserSummary[]; // those of the list
  selected: ReadonlyMap<string, UserSummary>; // by Clerk id, in the order in which they were selected
  isBeyond: boolean; // true: users are selected that match but are not loaded
  job: Job | null; // the last action on several users
  invitationChanges: number; // made here
  isInDetails: boolean; // true: the details of a user are open, and notices are shown there
};

export type Holder = "pointer" | "focus";
type Texts = Messages["manage"];
type BulkAnswer = Answered<NonNullable<ReturnType<typeof readResults>>>;

export class Manager {
  state: State = {
    menu: null,
    dialog: null,
    notices: [],
    pending: new Map(),
    outage: null,
    rows: [],
    selected: new Map(),
    isBeyond: false,
    job: null,
    invitationChanges: 0,
    isInDetails: false,
  };
  #service: Service;
  #texts: Texts;
  #listeners = new Set<() => void>();
  #lastNumber = 0;
  #lastSelected: string | null = null; // where a range begins
  #view = ""; // the search and the filter of the list
  #cancel = new AbortController(); // of the job
  #held = new Set<string>(); // the ids of notices, and what is on each
  #outageEnd: ReturnType<typeof setTimeout> | undefined;

  constructor(service: Service, texts: Texts) {
    this.#service = service;
    this.#texts = texts;
  }

  connect(service: Service, texts: Texts): void {
    if (service.url !== this.#service.url) this.#setOutage(null);
    this.#service = service;
    this.#texts = texts;
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
    const clerkId = "clerkId" in call ? call.clerkId : null;
    if (clerkId !== null && this.state.pending.get(clerkId)?.isAnswered === false) return null;
    if (clerkId !== null) this.#setPending(clerkId, { call: call as UserCall, isAnswered: false });
    const isOlder = (notice: Notice) => "clerkId" in notice.call && notice.call.clerkId === clerkId;
    this.set({ notices: this.state.notices.filter((notice) => !isOlder(notice)) });

    const before = this.#rowOf(clerkId);
    const answer = await send(call, this.#service, this.#texts);
    if (clerkId !== null) this.#settle(clerkId, call as UserCall, answer);
    if (call.action === "invite" || call.action === "revokeInvitation") this.#countInvitation(answer);
    if (answer.isDone) this.tell({ call, name, answer }, before);
    else this.#note(answer);
    return answer;
  }

  // Sends a request that is shown where it was made.
  async ask<Value>(request: Request, read: (body: any) => Value | undefined): Promise<Answered<Value>> {
    const answer = await ask(request, this.#service, this.#texts, read);
    if (!answer.isDone) this.#note(answer);
    return answer;
  }

  // `before` is the user's row before the call, if the list has it.
  tell(told: Omit<Notice, "id" | "undo">, before?: UserSummary): void {
    const undo = told.answer.isDone ? opposite(told.call, before) : null;
    const notice = { id: ++this.#lastNumber, undo, ...told };
    this.set({ notices: [...this.state.notices, notice] });
    if (told.answer.isDone && told.answer.synced) this.#expire(notice);
  }

  // A notice stays while the pointer or the focus is on it.
  hold({ id }: Notice, by: Holder, isHeld: boolean): void {
    this.#held[isHeld ? "add" : "delete"](`${id} ${by}`);
  }

  #expire(notice: Notice): void {
    const isHeld = () => (["pointer", "focus"] satisfies Holder[]).some((by) => this.#held.has(`${notice.id} ${by}`));
    setTimeout(() => (isHeld() ? this.#expire(notice) : this.dismiss(notice)), NOTICE_MS);
  }

  dismiss({ id }: Notice): void {
    this.set({ notices: this.state.notices.filter((notice) => notice.id !== id) });
  }

  // The list shows these rows. Only their users stay selected, so that nobody acts on what is out of sight, unless all
  // that match were selected: then until another view is shown.
  showRows(rows: readonly UserSummary[], view = ""): void {
    const isBeyond = this.state.isBeyond && view === this.#view;
    this.#view = view;
    const shown = new Map(rows.map((user) => [user.clerkId, user]));
    const kept = [...this.state.selected.values()].flatMap((user) => shown.get(user.clerkId) ?? (isBeyond ? user : []));
    this.set({ rows, isBeyond, selected: new Map(kept.map((user) => [user.clerkId, user])) });
  }

  select(users: readonly UserSummary[], isBeyond = false): void {
    this.#lastSelected = null;
    this.set({ selected: new Map(users.map((user) => [user.clerkId, user])), isBeyond });
  }

  // Selects a user, or takes the user out. With isRange, all from the one before to this one become the same.
  toggle(user: UserSummary, isRange: boolean, isAllowed: (user: UserSummary) => boolean): void {
    const { rows } = this.state;
    const place = (clerkId: string | null) => rows.findIndex((row) => row.clerkId === clerkId);
    const to = place(user.clerkId);
    const from = isRange ? place(this.#lastSelected) : -1;
    const range = from === -1 ? [user] : rows.slice(Math.min(from, to), Math.max(from, to) + 1).filter(isAllowed);
    const isOn = !this.state.selected.has(user.clerkId);
    const selected = new Map(this.state.selected);
    for (const one of range) {
      if (isOn) selected.set(one.clerkId, one);
      else selected.delete(one.clerkId);
    }
    this.#lastSelected = user.clerkId;
    this.set({ selected });
  }

  chooseAll(action: BulkAction, users: readonly UserSummary[]): void {
    if (action === "unban" || action === "unlock") void this.doAll(action, null, users);
    else this.set({ dialog: { kind: "bulk", action, users } });
  }

  doAll(action: BulkAction, role: string | null, users: readonly UserSummary[]): Promise<void> {
    // The rows may have changed while a dialog was open.
    return this.#run(stepsOf(action, role, users.map((user) => this.#rowOf(user.clerkId) ?? user)), true);
  }

  undoAll(job: Job): Promise<void> {
    return this.#run(undoOf(job), false);
  }

  // The request that is on its way is not taken back.
  cancelJob(): void {
    this.#cancel.abort();
  }

  // Sends the requests one after the other. When one is refused as a whole, the later ones are not sent.
  async #run(steps: readonly Step[], isFirst: boolean): Promise<void> {
    const [{ action }] = steps as [Step];
    if (this.state.job?.isRunning) return;
    const total = steps.reduce((sum, { users }) => sum + users.length, 0);
    let job: Job = { action, total, results: [], isRunning: true, resumesAt: 0, canUndo: false };
    const pending = new Map(this.state.pending);
    for (const step of steps) {
      for (const user of step.users) pending.set(user.clerkId, { call: callOf(step, user), isAnswered: false });
    }
    this.set({ job, pending });
    this.#cancel = new AbortController();
    const { signal } = this.#cancel;
    let refused: Problem | null = null;
    for (const step of steps) {
      const answer: BulkAnswer | null =
        refused ?? (await this.#askInTime(step, signal, (resumesAt) => this.set({ job: { ...job, resumesAt } })));
      const results = answer === null ? cancelledOf(step) : resultsOf(step, answer.isDone ? answer.value : answer);
      if (answer?.isDone === false) refused ??= { ...answer, message: this.#texts.notTried };
      const left = new Map(this.state.selected);
      for (const { user, isDone, synced, message } of results) {
        if (isDone) left.delete(user.clerkId);
        if (isDone) this.#settle(user.clerkId, callOf(step, user), { isDone, synced, message: message ?? "" });
        else this.#setPending(user.clerkId, null);
      }
      job = { ...job, results: [...job.results, ...results] };
      this.set({ job, selected: left });
    }
    job = { ...job, isRunning: false };
    this.set({ job: { ...job, canUndo: isFirst && undoOf(job).length > 0 } });
  }

  // Sends a request. When the service says that it takes no more for some time, it waits. Returns null if cancelled.
  async #askInTime(step: Step, signal: AbortSignal, onWait: (until: number) => void): Promise<BulkAnswer | null> {
    while (!signal.aborted) {
      const answer = await this.ask(requestOf(step), readResults);
      if (answer.isDone || answer.code !== "too_many_calls" || answer.retryAt === 0) return answer;
      onWait(answer.retryAt);
      await pause(answer.retryAt - Date.now(), signal);
      onWait(0);
    }
    return null;
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

  // A list of invitations is loaded again, unless nothing can have changed.
  #countInvitation(answer: Answer): void {
    if (!answer.isDone && !answer.mayBeDone) return;
    this.set({ invitationChanges: this.state.invitationChanges + 1 });
  }

  #rowOf(clerkId: string | null): UserSummary | undefined {
    return this.state.rows.find((row) => row.clerkId === clerkId);
  }

  // Keeps a problem that concerns every action, until it may have changed. During a rollout a host answers like one that
  // has no service.
  #note({ code, message, retryAt }: Problem): void {
    if (code !== "not_set_up" && code !== "not_mounted") return;
    this.#setOutage(message);
    this.#outageEnd = setTimeout(() => this.#setOutage(null), retryAt > 0 ? retryAt - Date.now() : OUTAGE_MS);
  }

  #setOutage(outage: string | null): void {
    clearTimeout(this.#outageEnd);
    if (this.state.outage !== outage) this.set({ outage });
  }
}

// Returns what takes back a call, or null. `before` is the user's row before it, if known.
function opposite(call: Call, before: UserSummary | undefined): UserCall | null {
  if (call.action === "ban" || call.action === "lock") {
    const isChanged = before === undefined || isChange(call.action, before);
    return isChanged ? { action: `un${call.action}`, clerkId: call.clerkId } : null;
  }
  if (call.action !== "role" || call.before === undefined) return null;
  return { action: "role", clerkId: call.clerkId, role: call.before };
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
