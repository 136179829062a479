// Speaks Convex's websocket protocol: a client subscribes to queries, and the server sends their results and each
// change.
import type { UserIdentity } from "convex/server";
import type { JSONValue } from "convex/values";
import type { WebSocket } from "ws";
import type { Engine } from "./engine.ts";
import type { Outcome } from "./outcome.ts";
import { AuthenticationError } from "./auth.ts";
import { callFunction, visitor } from "./calls.ts";
import type { Admission, Call, Credential, Doorkeeper } from "./calls.ts";
import { QueryRuns, type Run } from "./queries.ts";
import { Clock, parseJson, textToTimestamp, timestampToText, valueToText } from "./wire.ts";

const MAX_UNSENT = 32 * 1024 * 1024; // bytes buffered for a client; one that does not read is disconnected
const MAX_PENDING = 1_000; // messages of one client in progress; further messages wait in its socket

type Version = { querySet: number; identity: number; ts: bigint };

type Message = { [field: string]: unknown };

class ProtocolError extends Error {}

class Subscription {
  readonly id: number;
  readonly path: string;
  readonly args: JSONValue;
  journal: string | null;
  run: Run | null = null; // null: must be run at the next transition
  sent: string | null = null;
  readonly onStale: () => void;

  constructor(id: number, call: Call, schedule: () => void) {
    this.id = id;
    this.path = call.path;
    this.args = call.args;
    this.journal = call.journal ?? null;
    this.onStale = () => {
      this.run = null;
      schedule();
    };
  }
}

/** All websocket sessions of one engine. */
export class Sync {
  readonly engine: Engine;
  readonly door: Doorkeeper;
  readonly clock = new Clock();
  readonly runs: QueryRuns;
  readonly #sessions = new Set<Session>();
  readonly #due = new Set<Session>();
  readonly #pings: NodeJS.Timeout;
  readonly #stopListening: () => void;
  #updating = false;

  constructor(engine: Engine, door: Doorkeeper, pingInterval: number) {
    this.engine = engine;
    this.door = door;
    this.runs = new QueryRuns(engine);
    this.#stopListening = engine.onCommit((writes, commit) => {
      this.clock.tick();
      this.runs.commit(writes, commit);
    });
    this.#pings = setInterval(() => this.#sessions.forEach((session) => session.ping()), pingInterval);
  }

  open(socket: WebSocket): void {
    const session = new Session(this, socket);
    this.#sessions.add(session);
    socket.on("close", () => {
      this.#sessions.delete(session);
      this.#due.delete(session);
      session.end();
    });
  }

  /** Schedules a transition of a session. All changes until then are part of it. */
  schedule(session: Session): void {
    this.#due.add(session);
    if (!this.#updating) void this.#update();
  }

  async #update(): Promise<void> {
    this.#updating = true;
    for (const session of this.#due) {
      await new Promise(setImmediate); // lets other requests run between two sessions
      this.#due.delete(session);
      await session.transition();
    }
    this.#updating = false;
  }

  close(): void {
    clearInterval(this.#pings);
    this.#stopListening();
  }
}

class Session {
  readonly #sync: Sync;
  readonly #socket: WebSocket;
  readonly #subscriptions = new Map<number, Subscription>();
  #version: Version = { querySet: 0, identity: 0, ts: 0n }; // the version that the client has
  #querySet = 0; // the versions that the client has asked for
  #identity = 0;
  #admission: Admission = visitor;
  #authenticating = false;
  #connected = false;
  #ended = false;
  #removed: number[] = [];
  #acknowledge = false; // true: a mutation or action is done, so a transition must follow even if no result changed
  #pending = 0;
  #inbox: Promise<void> = Promise.resolve();
  #mutations: Promise<void> = Promise.resolve();

  constructor(sync: Sync, socket: WebSocket) {
    this.#sync = sync;
    this.#socket = socket;
    socket.on("error", () => socket.terminate());
    socket.on("message", (data, isBinary) => {
      const text = isBinary ? "" : String(data as Buffer);
      this.#inbox = this.#track(this.#inbox.then(() => this.#receive(text)));
    });
  }

  ping(): void {
    this.#send('{"type":"Ping"}');
  }

  end(): void {
    this.#ended = true;
    for (const subscription of this.#subscriptions.values()) this.#stop(subscription);
    this.#subscriptions.clear();
  }

  async transition(): Promise<void> {
    if (this.#ended || this.#authenticating) return; // authenticating ends with a transition or with the session
    if (this.#admission.isExpired()) {
      await this.#reject(tokenExpired(), false);
      return;
    }
    const { caller } = this.#admission;
    const end: Version = { querySet: this.#querySet, identity: this.#identity, ts: this.#sync.clock.latest };
    const acknowledge = this.#acknowledge;
    this.#acknowledge = false;
    const modifications = this.#removed
      .splice(0)
      .map((id) => `{"type":"QueryRemoved","queryId":${String(id)}}`);
    // All runs start in one turn of the event loop, so that they see the same state.
    const due = [...this.#subscriptions.values()].filter(({ run }) => run === null);
    const results = due.map((subscription) => {
      const { path, args, journal, onStale } = subscription;
      subscription.run = this.#sync.runs.start({ path, args, journal, caller }, onStale);
      return subscription.run.result;
    });
    for (const [index, result] of (await Promise.all(results)).entries()) {
      const subscription = due[index] as Subscription;
      subscription.journal = result.journal;
      if (this.#subscriptions.get(subscription.id) !== subscription || subscription.sent === result.body)
        continue;
      subscription.sent = result.body;
      modifications.push(
        `{${result.body},"queryId":${String(subscription.id)},"logLines":${result.logLines}}`,
      );
    }
    const start = this.#version;
    const moved = end.querySet !== start.querySet || end.identity !== start.identity;
    if (modifications.length === 0 && !moved && !acknowledge) return;
    this.#version = end;
    this.#send(
      `{"type":"Transition","startVersion":${versionToText(start)},"endVersion":${versionToText(end)},` +
        `"modifications":[${modifications.join(",")}]}`,
    );
  }

  async #receive(text: string): Promise<void> {
    if (this.#ended) return;
    try {
      await this.#handle(readMessage(text));
    } catch (error) {
      if (error instanceof AuthenticationError) {
        await this.#reject(error, this.#authenticating);
      } else {
        if (!(error instanceof ProtocolError)) console.error("The local Convex failed on a message:", error);
        const reason = error instanceof ProtocolError ? error.message : "internal error";
        this.#refuse({ type: "FatalError", error: reason }, "BadMessage");
      }
    }
  }

  async #handle(message: Message): Promise<void> {
    if (message.type !== "Connect" && !this.#connected) {
      throw new ProtocolError("The first message must be Connect.");
    }
    switch (message.type) {
      case "Connect":
        if (this.#connected) throw new ProtocolError("Connect must be sent only once.");
        this.#connected = true;
        if (message.maxObservedTimestamp !== undefined) {
          this.#sync.clock.catchUp(timestampOf(message, "maxObservedTimestamp"));
        }
        break;
      case "Authenticate":
        await this.#authenticate(message);
        break;
      case "ModifyQuerySet":
        this.#modifyQuerySet(message);
        break;
      case "Mutation": {
        const run = this.#request("mutation", message);
        this.#mutations = this.#track(this.#mutations.then(run));
        break;
      }
      case "Action":
        void this.#track(this.#request("action", message)());
        break;
      case "Event":
        break;
      default:
        throw new ProtocolError("Unknown type of message.");
    }
  }

  async #authenticate(message: Message): Promise<void> {
    checkVersion(message, this.#identity);
    const type = message.tokenType;
    if (type !== "None" && type !== "Admin" && type !== "User") {
      throw new ProtocolError("tokenType must be Admin, User or None.");
    }
    this.#authenticating = true;
    this.#admission = await this.#sync.door.authenticate(credentialOf(type, message));
    this.#authenticating = false;
    this.#identity += 1;
    for (const subscription of this.#subscriptions.values()) this.#stop(subscription);
    this.#sync.schedule(this);
  }

  #modifyQuerySet(message: Message): void {
    checkVersion(message, this.#querySet);
    const newVersion = integerOf(message, "newVersion");
    if (newVersion <= this.#querySet) throw new ProtocolError("newVersion must be greater than baseVersion.");
    if (!Array.isArray(message.modifications)) throw new ProtocolError("modifications must be an array.");
    for (const modification of message.modifications as unknown[]) {
      if (!isMessage(modification)) throw new ProtocolError("A modification must be an object.");
      const id = integerOf(modification, "queryId");
      const known = this.#subscriptions.get(id);
      if (modification.type === "Add") {
        if (known !== undefined) throw new ProtocolError("This queryId is in use.");
        const { journal = null } = modification;
        if (journal !== null && typeof journal !== "string")
          throw new ProtocolError("journal must be a string.");
        const call = { ...callOf(modification), journal };
        this.#subscriptions.set(id, new Subscription(id, call, () => this.#sync.schedule(this)));
      } else if (modification.type === "Remove") {
        if (known === undefined) throw new ProtocolError("There is no query with this queryId.");
        this.#stop(known);
        this.#subscriptions.delete(id);
        this.#removed.push(id);
      } else {
        throw new ProtocolError("A modification must be Add or Remove.");
      }
    }
    this.#querySet = newVersion;
    this.#sync.schedule(this);
  }

  /** Checks a request and its caller now, at the time when it was sent. Returns a function that runs it. */
  #request(kind: "mutation" | "action", message: Message): () => Promise<void> {
    const requestId = integerOf(message, "requestId");
    const call = callOf(message);
    if (this.#admission.isExpired()) throw tokenExpired();
    const { caller } = this.#admission;
    return async () => {
      if (this.#ended) return; // the client sends it again when it reconnects
      const outcome = await callFunction(this.#sync.engine, kind, call, caller);
      const type = kind === "mutation" ? "MutationResponse" : "ActionResponse";
      const ts =
        kind === "mutation" && outcome.ok ? `,"ts":"${timestampToText(this.#sync.clock.latest)}"` : "";
      this.#send(`{"type":"${type}","requestId":${String(requestId)},${responseToText(outcome)}${ts}}`);
      this.#acknowledge = true;
      this.#sync.schedule(this);
    };
  }

  #stop(subscription: Subscription): void {
    if (subscription.run !== null) this.#sync.runs.leave(subscription.run, subscription.onStale);
    subscription.run = null;
  }

  async #track(work: Promise<void>): Promise<void> {
    this.#pending += 1;
    if (this.#pending === MAX_PENDING) this.#socket.pause();
    await work;
    if (this.#pending === MAX_PENDING) this.#socket.resume();
    this.#pending -= 1;
  }

  #send(text: string): void {
    if (this.#ended) return;
    if (this.#socket.bufferedAmount > MAX_UNSENT) this.#socket.terminate();
    else this.#socket.send(text);
  }

  /** Ends the session for its token. The client fetches a new token and reconnects; with status 503 it reconnects with the
   * same token. */
  async #reject(
    { code, message, status }: AuthenticationError,
    authUpdateAttempted: boolean,
  ): Promise<void> {
    await this.#mutations; // the client would send unanswered mutations again
    if (status === 503) {
      this.#ended = true;
      this.#socket.close(1013, code);
      return;
    }
    const baseVersion = this.#version.identity;
    this.#refuse({ type: "AuthError", error: message, baseVersion, authUpdateAttempted }, code);
  }

  #refuse(message: Message, reason: string): void {
    this.#send(JSON.stringify(message));
    this.#ended = true;
    this.#socket.close(1008, reason);
  }
}

/** Convex checks the expiry only before it runs something, so a client that waits for nothing stays connected. */
function tokenExpired(): AuthenticationError {
  return new AuthenticationError("TokenExpired", "Convex token identity expired");
}

function versionToText({ querySet, identity, ts }: Version): string {
  return JSON.stringify({ querySet, identity, ts: timestampToText(ts) });
}

function responseToText(outcome: Outcome): string {
  const logLines = `"logLines":${JSON.stringify(outcome.logLines)}`;
  if (outcome.ok) return `"success":true,"result":${valueToText(outcome.value)},${logLines}`;
  const data = outcome.errorData === undefined ? "" : `"errorData":${valueToText(outcome.errorData)},`;
  return `"success":false,"result":${JSON.stringify(outcome.errorMessage)},${data}${logLines}`;
}

function readMessage(text: string): Message {
  let message;
  try {
    message = parseJson(text);
  } catch {
    throw new ProtocolError("Received invalid JSON on the websocket.");
  }
  if (!isMessage(message)) throw new ProtocolError("A message must be an object.");
  return message;
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function callOf(message: Message): Call {
  const { args } = message;
  if (!Array.isArray(args) || args.length > 1)
    throw new ProtocolError("args must be an array of one object.");
  return { path: stringOf(message, "udfPath"), args: (args[0] ?? {}) as JSONValue };
}

function credentialOf(type: Credential["type"], message: Message): Credential {
  if (type === "None") return { type };
  const value = stringOf(message, "value");
  if (type === "User") return { type, value };
  const { impersonating = null } = message;
  if (impersonating !== null && !isMessage(impersonating)) {
    throw new ProtocolError("impersonating must be an object.");
  }
  return { type, value, identity: impersonating as UserIdentity | null };
}

function checkVersion(message: Message, version: number): void {
  if (integerOf(message, "baseVersion") !== version) {
    throw new ProtocolError("baseVersion does not match the current version.");
  }
}

function integerOf(message: Message, field: string): number {
  const value = message[field];
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new ProtocolError(`${field} must be an integer.`);
  return value as number;
}

function stringOf(message: Message, field: string): string {
  const value = message[field];
  if (typeof value !== "string") throw new ProtocolError(`${field} must be a string.`);
  return value;
}

function timestampOf(message: Message, field: string): bigint {
  const timestamp = textToTimestamp(stringOf(message, field));
  if (timestamp === null) throw new ProtocolError(`${field} must be a timestamp.`);
  return timestamp;
}
