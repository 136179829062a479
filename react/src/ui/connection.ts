// Whether Convex is connected: one store for each client, so that all parts of the page say the same at the same time.
import type { ConvexReactClient } from "convex/react";

const PATIENCE_MS = 1500; // a shorter interruption is not shown

export type Connection =
  { state: "live" } | { state: "connecting" } | { state: "offline"; since: number | null };

const CONNECTING: Connection = { state: "connecting" };
const LIVE: Connection = { state: "live" };

type Client = Pick<ConvexReactClient, "url" | "connectionState" | "subscribeToConnectionState">;

export class ConnectionStore {
  #client: Client;
  #now: Connection = CONNECTING;
  #lostAt: number | null = null; // when the connection was lost, or waited for in vain
  #isLost = false; // for longer than an interruption that is not shown
  #timer: ReturnType<typeof setTimeout> | undefined;
  #listeners = new Set<() => void>();
  #stop = () => {};

  constructor(client: Client) {
    this.#client = client;
  }

  read = (): Connection => this.#now;

  subscribe = (listener: () => void): (() => void) => {
    if (this.#listeners.size === 0) this.#start();
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  };

  #start(): void {
    const leave = this.#client.subscribeToConnectionState(this.#update);
    addEventListener("online", this.#update);
    addEventListener("offline", this.#update);
    this.#stop = () => {
      leave();
      this.#forget();
      removeEventListener("online", this.#update);
      removeEventListener("offline", this.#update);
    };
    this.#update();
  }

  #update = (): void => {
    const { isWebSocketConnected, hasEverConnected, connectionRetries } = this.#client.connectionState();
    // A socket takes a minute to notice that the network is gone. The browser knows it immediately.
    const hasNetwork = navigator.onLine || isOnThisMachine(this.#client.url);
    if (isWebSocketConnected && hasNetwork) {
      this.#forget();
      return this.#set(LIVE);
    }
    if (this.#lostAt === null) {
      this.#lostAt = Date.now();
      this.#timer = setTimeout(() => {
        this.#isLost = true;
        this.#update();
      }, PATIENCE_MS);
    }
    const wasTried = hasEverConnected || connectionRetries > 0 || !hasNetwork;
    if (!wasTried || !this.#isLost) return this.#set(CONNECTING);
    const since = hasEverConnected ? this.#lostAt : null;
    const { state } = this.#now;
    if (state !== "offline" || this.#now.since !== since) this.#set({ state: "offline", since });
  };

  #forget(): void {
    clearTimeout(this.#timer);
    this.#lostAt = null;
    this.#isLost = false;
  }

  #set(connection: Connection): void {
    if (connection === this.#now) return;
    this.#now = connection;
    for (const listener of this.#listeners) listener();
  }
}

const stores = new WeakMap<Client, ConnectionStore>();

export function connectionOf(client: Client): ConnectionStore {
  const store = stores.get(client) ?? new ConnectionStore(client);
  stores.set(client, store);
  return store;
}

function isOnThisMachine(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
}
