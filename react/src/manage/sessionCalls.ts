// Calls of the details: the sessions of a user, which only Clerk has, *Sync now*, and the metadata.
import type { sheet } from "../messages/sheet.tsx";
import type { Request } from "./calls.ts";

export type Device = {
  device_type: string | null;
  browser_name: string | null;
  browser_version: string | null;
  ip_address: string | null;
  city: string | null;
  country: string | null;
};

export type UserSession = {
  id: string;
  last_active_at: number | null;
  impersonated: boolean;
  device: Device | null;
};

export type Sessions = { sessions: UserSession[]; hasMore: boolean };

const MOST = 100; // sessions; as many as the service lists and revokes at once

const pathOf = (clerkId: string) => `/${encodeURIComponent(clerkId)}`;

export function listSessions(clerkId: string): Request {
  return { method: "GET", path: `${pathOf(clerkId)}/sessions?limit=${MOST}` };
}

export function readSessions(body: any): Sessions | undefined {
  return Array.isArray(body?.sessions) ? { sessions: body.sessions, hasMore: body.has_more === true } : undefined;
}

export function revokeSession(clerkId: string, sessionId: string): Request {
  return { method: "POST", path: `${pathOf(clerkId)}/sessions/revoke`, body: { session_id: sessionId } };
}

export function revokeSessions(clerkId: string): Request {
  return { method: "POST", path: `${pathOf(clerkId)}/sessions/revoke_all` };
}

// Returns how many sessions were revoked, and whether there are more.
export function readRevoked(body: any): { count: number; hasMore: boolean } | undefined {
  if (typeof body?.revoked === "number") return { count: body.revoked, hasMore: body.has_more === true };
  return typeof body?.session?.id === "string" ? { count: 1, hasMore: false } : undefined;
}

export type Address = { id: string; kind: "email" | "phone"; text: string; isPrimary: boolean; isVerified: boolean };

export function lookAt(clerkId: string): Request {
  return { method: "GET", path: pathOf(clerkId) };
}

// Returns the email addresses and then the phone numbers of a user, the primary ones first.
export function readAddresses(body: any): Address[] | undefined {
  const user = body?.user;
  if (!Array.isArray(user?.email_addresses) || !Array.isArray(user.phone_numbers)) return undefined;
  const listed = (kind: Address["kind"], name: string) =>
    user[kind === "email" ? "email_addresses" : "phone_numbers"]
      .map((it: any, at: number) => ({
        id: `${kind} ${it.id ?? at}`,
        kind,
        text: String(it[name] ?? ""),
        isPrimary: it.id != null && it.id === user[`primary_${name}_id`],
        isVerified: it.verified === true,
      }))
      .sort((one: Address, other: Address) => Number(other.isPrimary) - Number(one.isPrimary));
  return [...listed("email", "email_address"), ...listed("phone", "phone_number")];
}

// `patch` is JSON text, because an object would lose digits.
export function updateMetadata(clerkId: string, patch: string): Request {
  return { method: "PATCH", path: `${pathOf(clerkId)}/metadata`, body: `{"public_metadata":${patch}}` };
}

// Returns what remains to be said: why the change is not in Convex yet.
export function readUpdated(body: any): { news: string } | undefined {
  if (typeof body?.synced !== "boolean") return undefined;
  return { news: body.synced ? "" : String(body.message ?? "") };
}

export function syncNow(clerkId: string): Request {
  return { method: "POST", path: `${pathOf(clerkId)}/sync` };
}

// Returns the outcome. isDeleted: Clerk has no such user.
export function readSynced(body: any): { outcome: string; isDeleted: boolean } | undefined {
  const isDeleted = body?.deleted === true;
  return typeof body?.outcome === "string" ? { outcome: body.outcome, isDeleted } : undefined;
}

// Returns the browser and the device of a session, such as "Chrome 131 on Macintosh".
export function deviceText(device: Device | null, words: typeof sheet): string {
  const version = device?.browser_version?.split(".")[0];
  const browser = device?.browser_name && [device.browser_name, version].filter(Boolean).join(" ");
  const kind = device?.device_type;
  return browser && kind ? words.device(browser, kind) : browser || kind || words.unknownDevice;
}

export function placeText(device: Device | null): string {
  return [device?.city, device?.country, device?.ip_address].filter(Boolean).join(", ");
}
