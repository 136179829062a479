"""Build Clerk's JSON objects: users, sessions, events and errors. Pure functions without state or I/O.

Shapes are those of Clerk's OpenAPI specifications (Backend API 2026-05-12, webhooks 2025-04-15).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clerk_convex.entities.json import LARGEST_METADATA, json_size
from clerk_convex.errors import LocalError

__all__ = [
    "IDENTIFIERS",
    "MAX_DEPTH",
    "METADATA",
    "VERIFIED",
    "ClerkRefusal",
    "NewId",
    "check_depth",
    "identifiers",
    "merge_metadata",
    "new_event",
    "new_session",
    "new_user",
    "not_found",
    "to_json",
    "user_fields",
]

METADATA = ("public_metadata", "private_metadata", "unsafe_metadata")
# Python's JSON encoder recurses, so deeper JSON could be read but not written again.
MAX_DEPTH = 200

NewId = Callable[[str], str]
"""Makes an id with the given prefix: `new_id("user")` is `user_` and 27 letters and digits."""


class ClerkRefusal(LocalError):
    """An error answer of Clerk's Backend API: the HTTP status, and `error` with code, texts and `meta`."""

    def __init__(self, status: int, code: str, message: str, long_message: str = "", param: str = "") -> None:
        super().__init__(long_message or message)
        self.status = status
        self.error: dict[str, Any] = {
            "message": message,
            "long_message": long_message or message,
            "code": code,
        }
        if param:
            self.error["meta"] = {"param_name": param}


def not_found(what: str = "user") -> ClerkRefusal:
    return ClerkRefusal(404, "resource_not_found", "not found", f"No {what} was found with that id.")


def to_json(value: object) -> str:
    """Return JSON text that can be encoded as UTF-8; with a lone surrogate in it, all ASCII escapes.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text


def check_depth(value: object, left: int = MAX_DEPTH) -> None:
    """Raise ValueError if `value` is nested deeper than MAX_DEPTH."""
    if left < 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        if isinstance(child, dict | list):
            check_depth(child, left - 1)


def check_metadata(user: Mapping[str, Any]) -> None:
    """Raise ClerkRefusal (413) if the metadata of a user or an invitation is larger than Clerk keeps."""
    for key in METADATA:
        if json_size(user.get(key) or {}) > LARGEST_METADATA:
            text = f"{key} may have {LARGEST_METADATA} bytes of JSON."
            raise ClerkRefusal(413, "request_body_too_large", "too large", text, key)


def merge_metadata(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as Clerk does: nested objects are merged too, and null removes a key at any level."""
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = merge_metadata(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def new_user(fields: Mapping[str, Any], new_id: NewId, now: int) -> dict[str, Any]:
    """Return a user made of `fields` (see LocalClerk.create_user) and Clerk's required fields.

    `now` is in Unix milliseconds.
    """
    user: dict[str, Any] = {
        "id": new_id("user"),
        "object": "user",
        "username": None,
        "first_name": None,
        "last_name": None,
        "locale": None,
        "image_url": "",  # Clerk's default is a picture on the internet, which a local page must not load
        "has_image": False,
        "primary_email_address_id": None,
        "primary_phone_number_id": None,
        "primary_web3_wallet_id": None,
        "password_enabled": False,
        "two_factor_enabled": False,
        "totp_enabled": False,
        "backup_code_enabled": False,
        "email_addresses": [],
        "phone_numbers": [],
        "web3_wallets": [],
        "passkeys": [],
        "external_accounts": [],
        "saml_accounts": [],
        "enterprise_accounts": [],
        "organization_memberships": [],
        "public_metadata": {},
        "private_metadata": {},
        "unsafe_metadata": {},
        "external_id": None,
        "last_sign_in_at": None,
        "last_active_at": None,
        "banned": False,
        "locked": False,
        "lockout_expires_in_seconds": None,
        "verification_attempts_remaining": 100,
        "mfa_enabled_at": None,
        "mfa_disabled_at": None,
        "legal_accepted_at": None,
        "delete_self_enabled": True,
        "create_organization_enabled": True,
        "created_at": now,
        "updated_at": now,
    }
    return user | user_fields(fields, new_id, now)


def user_fields(fields: Mapping[str, Any], new_id: NewId, now: int) -> dict[str, Any]:
    """Return `fields` with short lists of addresses expanded to Clerk's objects, the first one primary."""
    result: dict[str, Any] = {}
    for short, plural in IDENTIFIERS.items():
        if short in fields:
            made = [_identification(short, item, new_id, now) for item in fields[short]]
            result[plural] = made
            result[f"primary_{short}_id"] = made[0]["id"] if made else None
    # Given fields come last, so that `primary_email_address_id` can name another address than the first.
    return result | {key: value for key, value in fields.items() if key not in IDENTIFIERS}


IDENTIFIERS = {
    "email_address": "email_addresses",
    "phone_number": "phone_numbers",
    "web3_wallet": "web3_wallets",
}

VERIFIED = {
    "object": "verification_admin",
    "status": "verified",
    "strategy": "admin",
    "attempts": None,
    "expire_at": None,
}


def _identification(kind: str, item: str | Mapping[str, Any], new_id: NewId, now: int) -> dict[str, Any]:
    common = {
        "id": new_id("idn"),
        "object": kind,
        "verification": VERIFIED,
        "created_at": now,
        "updated_at": now,
    }
    own: dict[str, Any] = {}
    if kind != "web3_wallet":
        own = {"reserved": False, "linked_to": []}
    if kind == "phone_number":
        own |= {"reserved_for_second_factor": False, "default_second_factor": False}
    return common | own | ({kind: item} if isinstance(item, str) else dict(item))


def identifiers(user: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the (kind, value) pairs that are unique in an instance, with addresses and usernames lowered."""
    for kind, plural in IDENTIFIERS.items():
        for item in user[plural]:
            yield kind, item[kind].lower()
    for kind in ("username", "external_id"):
        if user[kind]:
            yield kind, user[kind].lower() if kind == "username" else user[kind]


DEVICES: tuple[dict[str, Any], ...] = (
    {
        "device_type": "Macintosh",
        "is_mobile": False,
        "browser_name": "Chrome",
        "browser_version": "128.0.0.0",
    },
    {"device_type": "iPhone", "is_mobile": True, "browser_name": "Safari", "browser_version": "18.0"},
    {"device_type": "Windows", "is_mobile": False, "browser_name": "Firefox", "browser_version": "131.0"},
)
"""The devices of sessions, in turn. The address is one for documentation (RFC 5737)."""


def _activity(session_id: str) -> dict[str, Any]:
    _, _, suffix = session_id.partition("_")
    return {
        "object": "session_activity",
        "id": f"sess_activity_{suffix}",
        **DEVICES[sum(suffix.encode()) % len(DEVICES)],
        "ip_address": "192.0.2.1",
        "city": "Berlin",
        "country": "DE",
    }


def new_session(
    user: Mapping[str, Any], new_id: NewId, now: int, *, client_id: str | None = None, status: str = "active"
) -> dict[str, Any]:
    """Return a session as the Backend API shows it. `now` is in Unix milliseconds."""
    session_id = new_id("sess")
    return {
        "object": "session",
        "id": session_id,
        "user_id": user["id"],
        "client_id": client_id or new_id("client"),
        "actor": None,
        "status": status,
        "last_active_organization_id": None,
        "last_active_at": now,
        "latest_activity": _activity(session_id),
        "expire_at": now + 7 * 86_400_000,
        "abandon_at": now + 30 * 86_400_000,
        "created_at": now,
        "updated_at": now,
    }


def new_event(type: str, data: Mapping[str, Any], instance_id: str, now: int) -> dict[str, Any]:  # noqa: A002
    """Return the body of a webhook. `now` is in Unix milliseconds, as Clerk sends it.

    The examples in Clerk's specification show seconds.
    """
    return {
        "object": "event",
        "type": type,
        "data": data,
        "timestamp": now,
        "instance_id": instance_id,
        "event_attributes": {"http_request": {"client_ip": "127.0.0.1", "user_agent": "clerk_convex.local"}},
    }
