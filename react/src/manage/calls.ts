// Calls the service: clerk_convex's user_routes(), which act at Clerk and write the result to Convex.
import type { GetToken } from "../auth/session.ts";
import type { Messages } from "../messages/messages.ts";

export type UserAction = "update" | "role" | "ban" | "unban" | "lock" | "unlock" | "delete";
export type Action = "create" | "invite" | "revokeInvitation" | UserAction;
// The actions that an app can switch off.
export type Switch = Action | "metadata" | "revoke" | "sync";

export type NewUser = Partial<
  Record<"email_address" | "phone_number" | "username" | "first_name" | "last_name" | "external_id", string>
> & { public_metadata?: { role: string } };

export type NewInvitation = { email_address: string; public_metadata?: { role: string }; expires_in_days?: number };

// null removes a value.
export type Changes = Partial<Record<"username" | "first_name" | "last_name" | "external_id", string | null>>;

export type UserCall =
  | { action: "update"; clerkId: string; body: Changes }
  | { action: "role"; clerkId: string; role: string | null; before?: string | null } // before: to undo it
  | { action: Exclude<UserAction, "update" | "role">; clerkId: string };
export type Call =
  | { action: "create"; body: NewUser }
  | { action: "invite"; body: NewInvitation }
  | { action: "revokeInvitation"; id: string }
  | UserCall;

// synced: the change is in Convex too. If not, `message` says why, and how it will arrive.
export type Done = { isDone: true; synced: boolean; message: string };
export type Problem = {
  isDone: false;
  mayBeDone: boolean; // true: unknown whether the action was done
  code: string;
  message: string;
  fields: Record<string, string>; // messages by the name of the field in the body
  retryAt: number; // Unix milliseconds, until which the call will be refused again; 0: unknown
  canRetry: boolean; // the same call may succeed later
  requestId: string; // also in the service's log and in Convex's audit log
};
export type Answer = Done | Problem;

export type Request = { method: "GET" | "POST" | "PATCH" | "DELETE"; path: string; body?: object | string }; // a string: JSON
export type Asked<Value> = { isDone: true; value: Value } | Problem;

export type Service = { url: string; getToken: GetToken };
type Texts = Messages["manage"];

const TOKEN_TIMEOUT_MS = 10_000;
const TIMEOUT_MS = 30_000; // longer than the service waits for Clerk and for Convex

const TAKEN = new Set(["form_identifier_exists", "duplicate_record"]);
const IDENTIFIERS = new Set(["email_address", "phone_number", "username", "external_id"]);

// Sends a call. Never throws: every error is returned as an answer with a message for a person.
export async function send(call: Call, service: Service, texts: Texts): Promise<Answer> {
  const answer = await ask(request(call), service, texts, readDone);
  return answer.isDone ? answer.value : answer;
}

function readDone(body: any): Done | undefined {
  if (typeof body?.invitation?.id === "string") return { isDone: true, synced: true, message: "" }; // only Clerk has it
  if (typeof body?.synced !== "boolean") return undefined;
  return { isDone: true, synced: body.synced, message: body.message ?? "" };
}

// Sends a request, as `send` does. `read` returns the value of a success, or undefined if the service did not answer so.
export async function ask<Value>(
  request: Request,
  service: Service,
  texts: Texts,
  read: (body: any) => Value | undefined,
): Promise<Asked<Value>> {
  const answer = await attempt(request, service, texts, read, false);
  // The token may have expired, or belong to a session that has ended. Retry once with a fresh token.
  const isRefusedToken = !answer.isDone && answer.code.endsWith("_token");
  return isRefusedToken ? attempt(request, service, texts, read, true) : answer;
}

async function attempt<Value>(
  { method, path, body }: Request,
  { url, getToken }: Service,
  texts: Texts,
  read: (body: any) => Value | undefined,
  skipCache: boolean,
): Promise<Asked<Value>> {
  const requestId = newRequestId();
  const isRead = method === "GET"; // it changes nothing, whatever becomes of it
  const problem = (code: string, message: string, { mayBeDone = false, ...more }: Partial<Problem> = {}): Problem => ({
    isDone: false,
    mayBeDone: mayBeDone && !isRead,
    code,
    message: isRead ? message : `${message} ${mayBeDone ? texts.mayBeDone : texts.nothingChanged}`,
    fields: {},
    retryAt: 0,
    canRetry: true,
    requestId,
    ...more,
  });

  let token: string | null;
  try {
    token = await within(TOKEN_TIMEOUT_MS, getToken({ skipCache }));
  } catch {
    return problem("no_clerk", texts.noClerk);
  }
  if (token === null) return problem("signed_out", texts.signedOut);

  let response: Response;
  let answer: any;
  try {
    response = await fetch(url + path, {
      method,
      headers: {
        Authorization: `Bearer ${token}`,
        "X-Request-Id": requestId,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    answer = await response.json().catch((error: unknown) => {
      if (error instanceof SyntaxError) return null;
      throw error;
    });
  } catch (error) {
    if (!navigator.onLine) return problem("no_network", texts.noNetwork);
    const isSlow = error instanceof DOMException && error.name === "TimeoutError";
    const what = isSlow ? texts.tooSlow(TIMEOUT_MS / 1000) : texts.noService;
    return problem(isSlow ? "too_slow" : "no_service", what, { mayBeDone: true });
  }

  const { status } = response;
  const value = response.ok ? read(answer) : undefined;
  if (value !== undefined) return { isDone: true, value };
  const error = answer?.error;
  if (typeof error?.code === "string" && typeof error.message === "string") {
    const message = texts.refusals[error.code] ?? error.message;
    return {
      isDone: false,
      mayBeDone: !isRead && (error.may_be_done ?? status === 500),
      code: error.code,
      message: error.clerk_message ? texts.clerksWords(message, error.clerk_message) : message,
      fields: TAKEN.has(error.code) ? takenField(body, error.clerk_message ?? message) : fieldErrors(error.errors, texts),
      retryAt: error.retry_after ? Date.now() + error.retry_after * 1000 : 0,
      canRetry: status >= 500 || status === 401 || status === 409 || status === 429,
      requestId: error.request_id ?? requestId,
    };
  }
  // A host of static files answers like this, or with the page itself.
  if (response.ok || status === 404 || status === 405) {
    return problem("not_mounted", texts.notServed(url), { canRetry: false });
  }
  return problem(`status_${status}`, texts.badStatus(status), { mayBeDone: status >= 500 });
}

function request(call: Call): Request {
  if (call.action === "create") return { method: "POST", path: "", body: call.body };
  if (call.action === "invite") return { method: "POST", path: "/invitations", body: call.body };
  if (call.action === "revokeInvitation") {
    return { method: "POST", path: "/invitations/revoke", body: { invitation_id: call.id } };
  }
  const path = `/${encodeURIComponent(call.clerkId)}`;
  switch (call.action) {
    case "update":
      return { method: "PATCH", path, body: call.body };
    case "role":
      return { method: "PATCH", path: `${path}/metadata`, body: { public_metadata: { role: call.role } } };
    case "delete":
      return { method: "DELETE", path };
    default:
      return { method: "POST", path: `${path}/${call.action}` };
  }
}

// Clerk does not say which field is taken. If only one identifier was sent, it is that one.
function takenField(body: Request["body"], message: string): Record<string, string> {
  const sent = Object.keys(body ?? {}).filter((name) => IDENTIFIERS.has(name));
  return sent.length === 1 ? { [sent[0]!]: message } : {};
}

// Returns messages by field. A nested name such as "public_metadata.role" counts for the field public_metadata.
function fieldErrors(errors: unknown, texts: Texts): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { field, message } of Array.isArray(errors) ? errors : []) {
    found[String(field).split(".")[0]!] ??= texts.fieldProblem(String(message));
  }
  return found;
}

function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `req_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function within<Value>(ms: number, promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("too slow")), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
