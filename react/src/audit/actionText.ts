const ACTIONS: Record<string, string> = {
  list: "List users",
  get: "Look at user",
  create: "Create user",
  update: "Edit",
  update_metadata: "Change role or metadata",
  sync: "Sync now",
  list_sessions: "Look at sessions",
  list_invitations: "List invitations",
  create_invitation: "Invite",
};

// The reasons of Convex's denials and of Clerk's refusals.
const REASONS: Record<string, string> = {
  self: "nobody may do this to their own account",
  last_admin: "the last active administrator",
  not_synced: "the caller’s account had not arrived",
  deleted: "the caller’s account was deleted",
  not_active: "the caller was banned, deprovisioned or locked",
  not_admin: "the caller was no administrator",
  resource_not_found: "Clerk has no such user",
  form_identifier_exists: "another user has this address, name or id",
  unsupported_subscription_plan_features: "the plan at Clerk does not include it",
  user_quota_exceeded: "Clerk allows no more users",
  deprovisioned: "the company’s directory has removed this user",
  user_managed_by_scim: "a company’s directory manages this user",
  attribute_managed_by_scim: "a company’s directory manages what was to be changed",
  duplicate_record: "the address has an invitation already",
  invitation_already_revoked: "the invitation was revoked before",
  too_late: "the request took too long",
  resource_locked: "Clerk was changing the same user",
  clerk_unavailable: "Clerk had trouble, or could not be reached",
  clerk_too_slow: "Clerk did not answer in time",
  clerk_too_busy: "too many calls to Clerk",
  clerk_misconfigured: "Clerk refused the service’s key or address",
};

// Returns the text of an action, such as "Ban · Clerk did not answer in time (504)". Unknown codes are shown unchanged.
export function actionText(action: string, reason: string | undefined, status: number | undefined): string {
  const what = ACTIONS[action] ?? words(action);
  if (reason === undefined) return what;
  const why = REASONS[reason] ?? words(reason).toLowerCase();
  return `${what} · ${why}${status === undefined ? "" : ` (${status})`}`;
}

function words(code: string): string {
  const text = code.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
