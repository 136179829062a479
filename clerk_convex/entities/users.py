"""Pure: turns a Clerk user, as webhooks and the Backend API have it, into the columns Convex keeps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from convex.values import CoercibleToConvexValue

from clerk_convex.entities.json import canonical_json, number
from clerk_convex.entities.times import LAST_MILLISECOND, milliseconds
from clerk_convex.errors import UserError

__all__ = [
    "COLUMNS",
    "STATUSES",
    "USER_ID",
    "Fields",
    "User",
    "UserStatus",
    "is_partial",
    "is_verified",
    "read_id",
    "read_user",
]

UserStatus = Literal["active", "locked", "deprovisioned", "banned"]
"""Whether a user may sign in. If several hold, the last one counts. `deprovisioned`: the company's directory
has removed the user, and Clerk refuses every sign-in."""

STATUSES: frozenset[str] = frozenset(get_args(UserStatus))

Columns = dict[str, CoercibleToConvexValue]
Fields = Callable[[Mapping[str, Any]], Mapping[str, CoercibleToConvexValue]]
"""Adds columns of a team: takes the Clerk user as Clerk sent it, returns column names with their values."""

COLUMNS: frozenset[str] = frozenset(
    {
        "createdAt",
        "email",
        "emailVerified",
        "externalId",
        "firstName",
        "imageUrl",
        "lastName",
        "lastSignInAt",
        "lockedUntil",
        "phone",
        "publicMetadata",
        "role",
        "status",
        "username",
    }
)
"""The columns of every user. `convex/clerk/users/derived.ts` derives more, for sorting and search."""

_PRIMARY = (
    ("email_addresses", "primary_email_address_id"),
    ("phone_numbers", "primary_phone_number_id"),
)
_RESERVED = COLUMNS | {"clerkId", "sortName", "sortEmail", "searchText"}
USER_ID = re.compile(r"user_[A-Za-z0-9_]{1,64}")
"""The Clerk ids that callers and operators may name. What Clerk sends may have any other form."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_ID = 255


@dataclass(frozen=True, slots=True)
class User:
    """One Clerk user: the id, Clerk's `updated_at` (Unix milliseconds), and the columns Convex keeps."""

    clerk_id: str
    updated_at: float
    columns: Columns


def read_user(user: object, fields: Fields | None = None, *, observed_at: float = 0.0) -> User:
    """Return the columns Convex keeps of a Clerk user.

    `user` is the user object of Clerk's API and webhooks, parsed by `parse_json`; `fields` is the function
    of CLERK_CONVEX_FIELDS. Only `id`, `created_at` and `updated_at` are required. Any other field that is
    missing, null, unknown or of an unexpected type is read as absent, because Clerk often adds fields and
    values.

    `observed_at` is when Clerk looked (Unix milliseconds by its clock), 0 if unknown. Clerk gives the end of
    a lock as a number of seconds from then, so without it a locked user has no `lockedUntil`.

    Raises UserError if one of the required fields cannot be read, or if `fields` fails. Its `clerk_id` is
    the user's, if that can be read, and its `observed_at` is this one.
    """
    if not isinstance(user, dict):
        raise UserError("The user is not a JSON object.")
    clerk_id = read_id(user)
    try:
        return _read(clerk_id, user, fields, observed_at)
    except UserError as error:
        error.clerk_id, error.observed_at = clerk_id, observed_at
        raise


def is_partial(user: Mapping[str, Any]) -> bool:
    """Return whether the object is visibly not the whole user: a time or a primary address is missing.

    Clerk's specification shows such users inside `session.created`. A field that they lack proves nothing.
    """
    if milliseconds(user.get("created_at")) is None or milliseconds(user.get("updated_at")) is None:
        return True
    for collection, pointer in _PRIMARY:
        items = user.get(collection)
        if not isinstance(items, list):
            return True
        if isinstance(user.get(pointer), str) and not _primary(user, collection, pointer):
            return True
    return False


def _read(clerk_id: str, user: Mapping[str, Any], fields: Fields | None, observed_at: float) -> User:
    updated_at = milliseconds(user.get("updated_at"))
    created_at = milliseconds(user.get("created_at"))
    if updated_at is None or created_at is None:
        raise UserError("The user's created_at or updated_at is missing or is no time in Unix milliseconds.")

    email = _primary(user, "email_addresses", "primary_email_address_id")
    phone = _primary(user, "phone_numbers", "primary_phone_number_id")
    address = _text(email.get("email_address"))
    metadata = user.get("public_metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    columns: Columns = {
        "externalId": _text(user.get("external_id")),
        "firstName": _text(user.get("first_name")),
        "lastName": _text(user.get("last_name")),
        "username": _text(user.get("username")),
        "email": address,
        "emailVerified": None if address is None else is_verified(email),
        "phone": _text(phone.get("phone_number")),
        "imageUrl": _text(user.get("image_url")),
        "role": _text(metadata.get("role")),
        "status": _status(user),
        "publicMetadata": canonical_json(metadata) if metadata else None,
        "createdAt": created_at,
        "lastSignInAt": milliseconds(user.get("last_sign_in_at")),
    }
    if columns["status"] != "locked":
        columns["lockedUntil"] = None
    elif observed_at > 0:
        columns["lockedUntil"] = _lock_end(user, observed_at)
    if fields is not None:
        columns |= _extra_columns(user, fields)
    return User(clerk_id, updated_at, columns)


def read_id(data: Mapping[str, Any]) -> str:
    """Return the `id` of a user object. Raises UserError if it is missing or malformed."""
    clerk_id = data.get("id")
    if (
        not isinstance(clerk_id, str)
        or not 0 < len(clerk_id) <= _LONGEST_ID
        or _LONE_SURROGATE.search(clerk_id)
    ):
        raise UserError("The user has no id.")
    return clerk_id


def _text(value: object) -> str | None:
    """Return a string that Convex can hold (lone surrogates replaced); None if it is empty or no string."""
    if not isinstance(value, str) or not value:
        return None
    if value.isascii():
        return value
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)


def _primary(user: Mapping[str, Any], collection: str, pointer: str) -> Mapping[str, Any]:
    """Return the primary address, or {} if the pointer names none of the list. It is never just the first."""
    primary_id, items = user.get(pointer), user.get(collection)
    if isinstance(primary_id, str) and isinstance(items, list):
        for item in items:
            if isinstance(item, dict) and item.get("id") == primary_id:
                return item
    return {}


def is_verified(address: Mapping[str, Any]) -> bool:
    """Return whether Clerk has verified an item of `email_addresses` or `phone_numbers`."""
    verification = address.get("verification")
    return isinstance(verification, dict) and verification.get("status") == "verified"


def _status(user: Mapping[str, Any]) -> UserStatus:
    if user.get("banned") is True:
        return "banned"
    if user.get("deprovisioned") is True:
        return "deprovisioned"
    return "locked" if user.get("locked") is True else "active"


def _lock_end(user: Mapping[str, Any], observed_at: float) -> float | None:
    """Return when the lock ends, in Unix milliseconds, or None for a lock without an end."""
    seconds = number(user.get("lockout_expires_in_seconds"))
    if seconds is None:
        return None
    end = observed_at + seconds * 1000
    return end if observed_at <= end <= LAST_MILLISECOND else None


def _extra_columns(user: Mapping[str, Any], fields: Fields) -> Columns:
    try:
        extra = dict(fields(user))
    except Exception as error:
        raise UserError(
            f"The function behind CLERK_CONVEX_FIELDS failed with {type(error).__name__}. "
            "It takes a Clerk user (a dict) and returns a dict of columns."
        ) from error
    if taken := sorted(_RESERVED & extra.keys()):
        raise UserError(
            f"The function behind CLERK_CONVEX_FIELDS returned {', '.join(taken)}: "
            "these columns are kept by clerk_convex. Give yours other names."
        )
    return extra
