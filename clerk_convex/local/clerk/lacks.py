"""Name the parts of Clerk's Backend API that the local Clerk does not have."""

import re

from clerk_convex.local.clerk.objects import ClerkRefusal

__all__ = ["refuse_path"]

# First segments of paths: nothing below them is there.
RESOURCES = (
    *("actor_tokens", "admin_portal_link_tokens", "agents", "allowlist_identifiers", "api_keys"),
    *("beta_features", "billing", "blocklist_identifiers", "clients", "domains", "email_addresses"),
    *("enterprise_connections", "jwt_templates", "m2m_tokens", "machines"),
    *("oauth_applications", "organization_domains", "organization_invitations"),
    *("organization_memberships", "organization_permissions", "organization_roles", "organizations"),
    *("phone_numbers", "proxy_checks", "public", "redirect_urls", "role_sets", "saml_connections"),
    *("scim_directories", "sign_in_tokens", "sign_ups", "templates", "testing_tokens"),
    *("waitlist_entries", "webhooks"),
)
OF_A_USER = (
    *("backup_code", "billing", "email_address", "external_accounts", "mfa", "oauth_access_tokens"),
    *("organization_invitations", "organization_memberships", "passkeys", "password", "phone_number"),
    *("profile_image", "remove_password", "totp", "trusted_devices", "verify_password", "verify_totp"),
    "web3_wallets",
)
OF_THE_INSTANCE = (
    *("change_domain", "communication", "oauth_application_settings", "organization_settings"),
    *("protect", "restrictions"),
)
LACKING = re.compile(
    rf"/v1/(?:(?:{'|'.join(RESOURCES)})(?:/.*)?"
    rf"|users/[^/]+/(?:{'|'.join(OF_A_USER)})(?:/.*)?"
    rf"|instance(?:/(?:{'|'.join(OF_THE_INSTANCE)}))?"
    r"|sessions/[^/]+/refresh|invitations/bulk)"
)
HERE = "The local Clerk has users, sessions, invitations and the instance"


def refuse_path(path: str) -> ClerkRefusal:
    """Return the refusal of a path that the local Clerk does not serve: 501 if Clerk has it, else 404."""
    if LACKING.fullmatch(path):
        text = f"{HERE}, and not this part of Clerk's Backend API. Call a real Clerk for it."
        return ClerkRefusal(501, "not_implemented", "not in the local Clerk", text)
    text = f"This is the local Clerk of clerk-convex, and there is nothing at this path. {HERE} below /v1."
    return ClerkRefusal(404, "resource_not_found", "not found", text)
