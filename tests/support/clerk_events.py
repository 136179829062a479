"""One event of every type in Clerk's webhook specification (2025-04-15), with its shapes and invented values.

They keep the oddities of the specification's examples: an envelope in seconds, a primary address that is not
in the list, missing fields that the schema requires, and verifications that are null.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from clerk_convex.entities.changes import Change
from clerk_convex.entities.users import Fields
from clerk_convex.webhook.events import Ignored, parse_event, to_change

INSTANCE_ID = "ins_orchard"
CREATED = 1_750_000_000_000
UPDATED = 1_750_000_360_000
BY_CLERK = {"created_at": CREATED, "updated_at": UPDATED}

USER: dict[str, Any] = {
    "object": "user",
    "id": "user_quince",
    "external_id": "crm-17",
    "username": "quince",
    "first_name": "Quitterie",
    "last_name": "Ince",
    "image_url": "https://images.example/quince.png",
    "profile_image_url": "https://images.example/quince.png",
    "has_image": True,
    "primary_email_address_id": "idn_work",
    "primary_phone_number_id": "idn_mobile",
    "primary_web3_wallet_id": None,
    "email_addresses": [
        {
            "object": "email_address",
            "id": "idn_home",
            "email_address": "home@quince.example",
            "reserved": False,
            "verification": None,
            "linked_to": [],
            **BY_CLERK,
        },
        {
            "object": "email_address",
            "id": "idn_work",
            "email_address": "work@quince.example",
            "reserved": False,
            "verification": {
                "status": "verified",
                "strategy": "email_code",
                "attempts": 1,
                "expire_at": CREATED,
            },
            "linked_to": [{"type": "oauth_google", "id": "idn_google"}],
            **BY_CLERK,
        },
    ],
    "phone_numbers": [
        {
            "object": "phone_number",
            "id": "idn_mobile",
            "phone_number": "+33600000017",
            "reserved_for_second_factor": False,
            "default_second_factor": False,
            "reserved": False,
            "verification": {
                "status": "unverified",
                "strategy": "phone_code",
                "attempts": None,
                "expire_at": None,
            },
            "linked_to": [],
            "backup_codes": None,
            **BY_CLERK,
        }
    ],
    "web3_wallets": [],
    "passkeys": [],
    "external_accounts": [
        {"object": "external_account", "id": "idn_google", "provider": "oauth_of_tomorrow"}
    ],
    "saml_accounts": [],
    "enterprise_accounts": [],
    "public_metadata": {"role": "gardener", "plot": 17},
    "private_metadata": {"note": "never leaves Python"},
    "unsafe_metadata": {"role": "admin"},
    "password_enabled": True,
    "two_factor_enabled": False,
    "totp_enabled": False,
    "backup_code_enabled": False,
    "mfa_enabled_at": None,
    "mfa_disabled_at": None,
    "banned": False,
    "locked": False,
    "lockout_expires_in_seconds": None,
    "verification_attempts_remaining": 100,
    "delete_self_enabled": True,
    "create_organization_enabled": True,
    "create_organizations_limit": None,
    "last_sign_in_at": CREATED + 1,
    "last_active_at": CREATED + 2,
    "legal_accepted_at": None,
    **BY_CLERK,
}

ORGANIZATION = {
    "object": "organization",
    "id": "org_grove",
    "name": "Grove",
    "slug": "grove",
    "image_url": "https://images.example/grove.png",
    "has_image": False,
    "members_count": 2,
    "pending_invitations_count": 0,
    "missing_member_with_elevated_permissions": False,
    "max_allowed_memberships": 9,
    "admin_delete_enabled": False,
    "public_metadata": {},
    "private_metadata": {"$plan": "é"},
    "created_by": "user_quince",
    **BY_CLERK,
}
PUBLIC_ORGANIZATION = {
    "id": "org_grove",
    "name": "Grove",
    "slug": "grove",
    "image_url": "https://images.example/grove.png",
    "has_image": False,
}
DOMAIN = {
    "object": "organization_domain",
    "id": "orgdmn_grove",
    "organization_id": "org_grove",
    "name": "grove.example",
    "enrollment_mode": "manual_invitation",
    "affiliation_email_address": None,
    "verification": None,
    "total_pending_invitations": 0,
    "total_pending_suggestions": 1,
    "public_organization_data": PUBLIC_ORGANIZATION,
    **BY_CLERK,
}
INVITATION = {
    "object": "organization_invitation",
    "id": "orginv_pear",
    "email_address": "pear@grove.example",
    "role": "org:picker",
    "role_name": "Picker",
    "organization_id": "org_grove",
    "status": "pending",
    "public_metadata": {},
    "private_metadata": {},
    "url": "https://accounts.example/join",
    "expires_at": UPDATED + 86_400_000,
    **BY_CLERK,
}
MEMBERSHIP = {
    "object": "organization_membership",
    "id": "orgmem_quince",
    "role": "org:picker",
    "role_name": "Picker",
    "permissions": ["org:baskets:read"],
    "public_metadata": {},
    "private_metadata": {},
    "organization": ORGANIZATION,
    "public_user_data": {
        "user_id": "user_quince",
        "first_name": "Quitterie",
        "last_name": None,
        "has_image": True,
        "image_url": "https://images.example/quince.png",
        "identifier": "work@quince.example",
    },
    **BY_CLERK,
}
PERMISSION = {
    "object": "permission",
    "id": "perm_baskets",
    "name": "Carry baskets",
    "key": "org:baskets:carry",
    "description": "May carry baskets",
    "type": "custom",
    **BY_CLERK,
}
ROLE = {
    "object": "role",
    "id": "role_picker",
    "name": "Picker",
    "key": "org:picker",
    "description": "Picks",
    "is_creator_eligible": False,
    "permissions": [PERMISSION],
    **BY_CLERK,
}
SESSION: dict[str, Any] = {
    "object": "session",
    "id": "sess_morning",
    "user_id": "user_quince",
    "user": USER,
    "client_id": "client_browser",
    "actor": None,
    "status": "active",
    "last_active_organization_id": "org_grove",
    "last_active_at": UPDATED,
    "latest_activity": {
        "object": "session_activity",
        "id": "sess_activity_1",
        "is_mobile": True,
        "city": "Albi",
    },
    "expire_at": UPDATED + 3_600_000,
    "abandon_at": UPDATED + 7_200_000,
    **BY_CLERK,
}
PRICE = {"amount": 1250, "amount_formatted": "12.50", "currency": "EUR", "currency_symbol": "€"}
PAYER = {
    "object": "commerce_payer",
    "id": "cpayer_quince",
    "user_id": "user_quince",
    "first_name": "Quitterie",
    "last_name": "Ince",
    "email": "work@quince.example",
    "organization_id": "",
    "organization_name": "",
    "image_url": "https://images.example/quince.png",
    **BY_CLERK,
}
PLAN = {
    "id": "cplan_basket",
    "slug": "basket",
    "name": "A basket a week",
    "is_recurring": True,
    "amount": 1250,
    "currency": "EUR",
    "unit_prices": [
        {"name": "seats", "block_size": 1, "tiers": [{"starts_at_block": 1, "ends_after_block": None}]}
    ],
}
ITEM = {
    "object": "subscription_item",
    "id": "csub_item_basket",
    "status": "active",
    "is_free_trial": False,
    "interval": "month",
    "period_start": CREATED,
    "period_end": None,
    "plan_id": "cplan_basket",
    "plan": PLAN,
    "seats": {"quantity": 3},
    "payer": PAYER,
    "subscription_id": "csub_quince",
    **BY_CLERK,
}
SUBSCRIPTION = {
    "object": "commerce_subscription",
    "id": "csub_quince",
    "status": "active",
    "active_at": CREATED,
    "canceled_at": None,
    "ended_at": None,
    "past_due_at": None,
    "latest_payment_id": "cpa_first",
    "payment_source_id": "cps_card",
    "payer_id": "cpayer_quince",
    "payer": PAYER,
    "items": [ITEM],
    **BY_CLERK,
}
PAYMENT = {
    "id": "pa_first",
    "instance_id": INSTANCE_ID,
    "payment_id": "cpa_first",
    "statement_id": "stmt_first",
    "gateway_external_id": "pi_first",
    "status": "pending",
    "charge_type": "recurring",
    "billing_date": CREATED,
    "paid_at": None,
    "failed_at": None,
    "failed_reason": {"code": "card_declined", "decline_code": "do_not_honor"},
    "payee": {"id": "cpayee_grove", "gateway_type": "stripe", "gateway_status": "active"},
    "payer": PAYER,
    "totals": {"subtotal": PRICE, "tax_total": PRICE, "grand_total": PRICE},
    "payment_source": {"id": "cps_card", "gateway": "stripe", "payment_method": "card", "last4": "0017"},
    "subscription_items": [{"id": "csub_item_basket", "status": "active", "plan": PLAN, "amount": PRICE}],
    **BY_CLERK,
}
EMAIL = {
    "object": "email",
    "id": "ema_code",
    "slug": "verification_code",
    "status": "queued",
    "user_id": "user_quince",
    "email_address_id": "idn_work",
    "to_email_address": "work@quince.example",
    "from_email_name": "orchard",
    "subject": "171717 opens the gate",
    "body": "<p>171717</p>",
    "body_plain": "171717",
    "data": {
        "app": {"name": "Orchard", "logo_url": None},
        "otp_code": "171717",
        "user": {"public_metadata": {}},
    },
    "delivered_by_clerk": True,
}
SMS: dict[str, Any] = {
    "object": "sms_message",
    "id": "sms_code",
    "slug": "verification_code",
    "status": "queued",
    "user_id": None,
    "phone_number_id": "idn_mobile",
    "from_phone_number": "+15550000000",
    "to_phone_number": "+33600000017",
    "message": "171717",
    "data": {},
    "delivered_by_clerk": False,
    "created_at": CREATED,
}
WAITING = {
    "object": "waitlistEntry",
    "id": "wle_plum",
    "email_address": "plum@grove.example",
    "status": "pending",
    "is_locked": False,
    "invitation": None,
    **BY_CLERK,
}


def gone(kind: str, id: str, **more: object) -> dict[str, Any]:  # noqa: A002 - Clerk's name for it
    return {"object": kind, "id": id, "deleted": True, **more}


DATA: dict[str, dict[str, Any]] = {
    "email.created": EMAIL,
    "organization.created": ORGANIZATION,
    "organization.updated": ORGANIZATION | {"name": "Old grove"},
    "organization.deleted": gone("organization", "org_grove", slug="grove"),
    "organizationDomain.created": DOMAIN,
    "organizationDomain.updated": DOMAIN | {"verification": {"status": "verified", "strategy": "email_code"}},
    "organizationDomain.deleted": gone("organization_domain", "orgdmn_grove"),
    "organizationInvitation.created": INVITATION,
    "organizationInvitation.accepted": INVITATION | {"status": "accepted", "user_id": "user_pear"},
    "organizationInvitation.revoked": INVITATION | {"status": "revoked"},
    "organizationMembership.created": MEMBERSHIP,
    "organizationMembership.updated": MEMBERSHIP | {"role": "org:admin"},
    "organizationMembership.deleted": MEMBERSHIP,
    "paymentAttempt.created": PAYMENT,
    "paymentAttempt.updated": PAYMENT | {"status": "paid", "paid_at": UPDATED, "failed_reason": None},
    "permission.created": PERMISSION,
    "permission.updated": PERMISSION | {"description": ""},
    "permission.deleted": gone("permission", "perm_baskets"),
    "role.created": ROLE,
    "role.updated": ROLE | {"permissions": []},
    "role.deleted": gone("role", "role_picker", slug=None),
    "session.created": SESSION,
    "session.pending": SESSION | {"status": "pending", "latest_activity": None},
    "session.ended": SESSION | {"status": "ended", "user": None},
    "session.removed": SESSION | {"status": "removed"},
    "session.revoked": SESSION | {"status": "revoked", "actor": {"sub": "user_pear"}},
    "sms.created": SMS,
    "subscription.created": SUBSCRIPTION,
    "subscription.updated": SUBSCRIPTION | {"items": []},
    "subscription.active": SUBSCRIPTION,
    "subscription.pastDue": SUBSCRIPTION | {"status": "past_due", "past_due_at": UPDATED},
    "subscriptionItem.abandoned": ITEM | {"status": "abandoned"},
    "subscriptionItem.active": ITEM,
    "subscriptionItem.canceled": ITEM | {"status": "canceled"},
    "subscriptionItem.ended": ITEM | {"status": "ended", "period_end": UPDATED},
    "subscriptionItem.freeTrialEnding": ITEM | {"is_free_trial": True},
    "subscriptionItem.incomplete": ITEM | {"status": "incomplete"},
    "subscriptionItem.pastDue": ITEM | {"status": "past_due"},
    "subscriptionItem.upcoming": ITEM | {"status": "upcoming", "plan": None},
    "subscriptionItem.updated": ITEM | {"seats": {"quantity": 4}},
    "user.created": USER | {"email_addresses": [], "phone_numbers": [], "private_metadata": None},
    "user.updated": USER,
    "user.deleted": gone("user", "user_quince", external_id="crm-17"),
    "waitlistEntry.created": WAITING,
    "waitlistEntry.updated": WAITING
    | {"status": "invited", "invitation": {"object": "invitation", "id": "inv_plum"}},
}


def event(kind: str, data: object = None, **envelope: object) -> dict[str, Any]:
    """Return an event as Clerk sends it. `data` defaults to the example of this type."""
    return {
        "object": "event",
        "type": kind,
        "data": DATA[kind] if data is None else data,
        "timestamp": UPDATED + 250,
        "instance_id": INSTANCE_ID,
        "event_attributes": {"http_request": {"client_ip": "192.0.2.17", "user_agent": "Tests"}},
    } | envelope


def body(kind: str, data: object = None, **envelope: object) -> bytes:
    return json.dumps(event(kind, data, **envelope)).encode()


# The specification's examples have the envelope's timestamp in seconds.
EVENTS: dict[str, bytes] = {kind: body(kind, timestamp=UPDATED // 1000) for kind in DATA}

# Strategies: any JSON value, and a user whose fields have any JSON values.
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
users = st.fixed_dictionaries({}, optional=dict.fromkeys(USER, documents)) | st.fixed_dictionaries(
    {"id": st.just("user_1"), "created_at": st.just(CREATED), "updated_at": st.just(UPDATED)},
    optional={name: documents for name in USER if name not in {"id", *BY_CLERK}},
)


def read_event(
    body: bytes, *, event_id: str | None = None, instance_id: str | None = None, fields: Fields | None = None
) -> Change | Ignored:
    """Return the change that the body of a webhook asks for, as the route reads it."""
    return to_change(parse_event(body, instance_id=instance_id), event_id=event_id, fields=fields)
