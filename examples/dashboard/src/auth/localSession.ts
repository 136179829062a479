// A session at the local Clerk, by its Frontend API.
import { patiently } from "./patience.ts";

const TIMEOUT_MS = 10_000;
const LEEWAY_MS = 10_000; // milliseconds before its expiry from which a token is not used again

type Client = {
  response: { sessions: { id: string; status: string }[]; last_active_session_id: string | null };
};
type Token = { jwt: string; staleAt: number };
export type SessionState = { isLoaded: boolean; sessionId: string | null };

class Refused extends Error {}

export class LocalSession {
  state: SessionState = { isLoaded: false, sessionId: null };
  #clerkUrl: string;
  #listeners = new Set<() => void>();
  #token: Token | null = null;
  #fetching: Promise<string | null> | null = null;

  constructor(clerkUrl: string) {
    this.#clerkUrl = clerkUrl;
    // Somebody may have signed in or out in another tab.
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") void this.load();
    });
    void this.load();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  signInUrl(): string {
    return `${this.#clerkUrl}/sign-in?redirect_url=${encodeURIComponent(location.href)}`;
  }

  async load(): Promise<void> {
    const client = await patiently(() => this.#request<Client>("GET", "/v1/client"), isRefused).catch(
      () => null,
    );
    const active = client?.response.sessions.filter((session) => session.status === "active") ?? [];
    const last =
      active.find((session) => session.id === client?.response.last_active_session_id) ?? active.at(-1);
    this.#set(last?.id ?? null);
  }

  // Returns null only if it is certain that nobody is signed in.
  getToken = async ({ skipCache }: { skipCache?: boolean } = {}): Promise<string | null> => {
    if (!skipCache && this.#token && Date.now() < this.#token.staleAt) return this.#token.jwt;
    const fetching = (this.#fetching ??= this.#fetchToken());
    const jwt = await fetching;
    if (this.#fetching === fetching) this.#fetching = null;
    return jwt;
  };

  // Throws if the local Clerk cannot be reached, so that a sign-out that did not work is visible.
  signOut = async (): Promise<void> => {
    const { sessionId } = this.state;
    if (sessionId === null) return;
    await this.#request("POST", `/v1/client/sessions/${sessionId}/remove`).catch((error: unknown) => {
      if (!isRefused(error)) throw error;
    });
    this.#set(null);
  };

  async #fetchToken(): Promise<string | null> {
    const { sessionId } = this.state;
    if (sessionId === null) return null;
    const path = `/v1/client/sessions/${sessionId}/tokens`;
    try {
      const { jwt } = await patiently(() => this.#request<{ jwt: string }>("POST", path), isRefused);
      if (sessionId !== this.state.sessionId) return null;
      this.#token = { jwt, staleAt: Date.now() + lifetime(jwt) - LEEWAY_MS };
      return jwt;
    } catch {
      // This session has ended. Another tab may have started a new one.
      await this.load();
      if (sessionId === this.state.sessionId) this.#set(null);
      return null;
    }
  }

  async #request<Answer>(method: string, path: string): Promise<Answer> {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(this.#clerkUrl + path, { method, credentials: "include", signal });
    if (response.ok) return (await response.json()) as Answer;
    const error = `The local Clerk answered ${response.status}.`;
    // A server error says nothing about the session.
    throw response.status >= 500 || response.status === 429 ? new Error(error) : new Refused(error);
  }

  #set(sessionId: string | null): void {
    if (this.state.isLoaded && this.state.sessionId === sessionId) return;
    this.state = { isLoaded: true, sessionId };
    this.#token = null;
    this.#fetching = null; // the request was for another session
    for (const listener of this.#listeners) listener();
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof Refused;
}

// Returns the lifetime of a token in milliseconds. It does not use this machine's clock, which may be wrong.
function lifetime(jwt: string): number {
  const payload = jwt.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
  const { iat, exp } = JSON.parse(atob(payload)) as { iat: number; exp: number };
  return (exp - iat) * 1000;
}
