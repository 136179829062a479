// One store says whether Convex is connected, for all parts of the page.
import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { connectionOf } from "../../react/src/ui/connection.ts";

type Listener = (event?: any) => void;

// A browser with a network, and a client whose socket the test opens and closes.
function begin(t: TestContext, url = "https://happy-animal-123.convex.cloud") {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1000 });
  const heard = new Map<string, Set<Listener>>();
  const browser = { onLine: true };
  const of = (type: string) => heard.get(type) ?? heard.set(type, new Set()).get(type)!;
  Object.assign(globalThis, {
    addEventListener: (type: string, listener: Listener) => of(type).add(listener),
    removeEventListener: (type: string, listener: Listener) => of(type).delete(listener),
  });
  Object.defineProperty(globalThis, "navigator", { value: browser, configurable: true });
  const socket = { isWebSocketConnected: false, hasEverConnected: false, connectionRetries: 0 };
  const client = {
    url,
    connectionState: () => socket as any,
    subscribeToConnectionState: (listener: Listener) => {
      of("socket").add(listener);
      return () => {
        of("socket").delete(listener);
      };
    },
  };
  const store = connectionOf(client);
  const seen: string[] = [];
  const stop = store.subscribe(() => seen.push(store.read().state));
  const set = (change: Partial<typeof socket>) => {
    Object.assign(socket, change);
    for (const listener of of("socket")) listener();
  };
  const setNetwork = (isThere: boolean) => {
    browser.onLine = isThere;
    for (const listener of of(isThere ? "online" : "offline")) listener();
  };
  return { client, store, seen, stop, set, setNetwork, heard, tick: (ms: number) => t.mock.timers.tick(ms) };
}

const UP = { isWebSocketConnected: true, hasEverConnected: true };

suite("the connection", () => {
  test("a short interruption is not shown as one, and a longer one has its time", (t) => {
    const { store, seen, set, tick } = begin(t);
    set(UP);
    set({ isWebSocketConnected: false, connectionRetries: 1 });
    tick(1499);
    set({ isWebSocketConnected: true });
    assert.deepEqual(seen, ["live", "connecting", "live"]);
    set({ isWebSocketConnected: false });
    tick(1500);
    assert.deepEqual(store.read(), { state: "offline", since: 2499 });
    set({ connectionRetries: 2 }); // it is the same interruption
    assert.deepEqual(seen, ["live", "connecting", "live", "connecting", "offline"]);
    set({ isWebSocketConnected: true });
    assert.deepEqual(store.read(), { state: "live" });
  });

  test("the browser knows at once that the network is gone", (t) => {
    const { store, set, setNetwork, tick } = begin(t);
    set(UP);
    setNetwork(false);
    tick(1500);
    assert.equal(store.read().state, "offline");
    setNetwork(true);
    assert.equal(store.read().state, "live");
  });

  test("Convex on this machine needs no network", (t) => {
    const { store, set, setNetwork, tick } = begin(t, "http://127.0.0.1:3210");
    set(UP);
    setNetwork(false);
    tick(1500);
    assert.equal(store.read().state, "live");
  });

  test("a first connection that was not tried yet is no failure, and a failed one has no time", (t) => {
    const { store, set, tick } = begin(t);
    tick(5000);
    assert.equal(store.read().state, "connecting");
    set({ connectionRetries: 1 });
    assert.deepEqual(store.read(), { state: "offline", since: null });
  });

  test("all parts of a page have the same store, which listens only while there are any", (t) => {
    const { client, store, stop, heard } = begin(t);
    assert.equal(connectionOf(client), store);
    const count = () => [...heard.values()].reduce((sum, { size }) => sum + size, 0);
    assert.equal(count(), 3);
    const stopOther = store.subscribe(() => {});
    stop();
    assert.equal(count(), 3);
    stopOther();
    assert.equal(count(), 0);
  });
});
