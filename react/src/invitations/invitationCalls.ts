// The list of invitations, which the service asks Clerk for. Convex has nothing of them.
import type { Request } from "../manage/calls.ts";

export const INVITATION_STATUSES = ["pending", "accepted", "revoked", "expired"] as const;
export type InvitationStatus = (typeof INVITATION_STATUSES)[number];

export type Invitation = {
  id: string;
  email_address: string;
  status: InvitationStatus;
  public_metadata?: Record<string, unknown>;
  created_at: number;
  expires_at?: number | null;
};
export type InvitationPage = { invitations: Invitation[]; hasMore: boolean };

export type InvitationsView = { search: string; status: InvitationStatus | null };

const PAGE = 50; // invitations

// Without a status Clerk lists all that are not revoked.
export function listInvitations({ search, status }: InvitationsView, offset: number): Request {
  const query = new URLSearchParams({ limit: String(PAGE), offset: String(offset) });
  if (status !== null) query.set("status", status);
  if (search !== "") query.set("query", search);
  return { method: "GET", path: `/invitations?${query.toString()}` };
}

export function readInvitations(body: any): InvitationPage | undefined {
  if (!Array.isArray(body?.invitations)) return undefined;
  return { invitations: body.invitations, hasMore: body.has_more === true };
}

// Adds a later page. An invitation that was sent meanwhile moves the others on, so one may come twice.
export function withPage(rows: readonly Invitation[], more: readonly Invitation[]): Invitation[] {
  const known = new Set(rows.map(({ id }) => id));
  return [...rows, ...more.filter(({ id }) => !known.has(id))];
}

export function roleOf({ public_metadata }: Invitation): string | null {
  return typeof public_metadata?.role === "string" && public_metadata.role !== "" ? public_metadata.role : null;
}

// Reads the state of the page from the URL: ?q= &status=. Invalid values are ignored.
export function readView(params: URLSearchParams): InvitationsView {
  return {
    search: params.get("q")?.trim() ?? "",
    status: INVITATION_STATUSES.find((status) => status === params.get("status")) ?? null,
  };
}

// Keeps the parameters that are not of this page.
export function writeView(params: URLSearchParams, { search, status }: InvitationsView): URLSearchParams {
  const written = new URLSearchParams(params);
  for (const [name, value] of Object.entries({ q: search || null, status })) {
    if (value === null) written.delete(name);
    else written.set(name, value);
  }
  return written;
}
