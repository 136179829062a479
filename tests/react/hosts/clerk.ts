// The part of Clerk's script that @clerk/react uses, at the local Clerk. It runs before the app's own scripts, so
// that @clerk/react finds it and does not load Clerk's. `clerkUrl` is a variable of the page.
declare const clerkUrl: string;

type Client = { sessions: { id: string; status: string; user: { id: string } }[]; last_active_session_id: string | null };
type Resources = { client: Client; session: object | null; user: object | null; organization: null };

async function ask<Answer>(method: string, path: string): Promise<Answer> {
  const answer = await fetch(clerkUrl + path, { method, credentials: "include" });
  return (await answer.json()) as Answer;
}

const clerk = {
  loaded: false,
  client: undefined as Client | undefined,
  session: null as object | null,
  user: null as object | null,
  __internal_lastEmittedResources: undefined as Resources | undefined,

  async load(): Promise<void> {
    const { response: client } = await ask<{ response: Client }>("GET", "/v1/client");
    const found = client.sessions.find(({ id }) => id === client.last_active_session_id);
    if (found !== undefined) {
      const { id, status, user } = found;
      const getToken = async () => (await ask<{ jwt: string }>("POST", `/v1/client/sessions/${id}/tokens`)).jwt;
      const lastActiveToken = { jwt: { claims: { aud: "convex" } } };
      clerk.session = { id, status, user, getToken, lastActiveToken, factorVerificationAge: null };
      clerk.user = user;
    }
    clerk.client = client;
    const { session, user } = clerk;
    clerk.__internal_lastEmittedResources = { client, session, user, organization: null };
    clerk.loaded = true;
  },

  addListener(listener: (resources: Resources) => void, options?: { skipInitialEmit?: boolean }): () => void {
    if (!options?.skipInitialEmit) listener(clerk.__internal_lastEmittedResources!);
    return () => {};
  },
};

Object.assign(window, { Clerk: clerk, __internal_ClerkUICtor: class {} });
