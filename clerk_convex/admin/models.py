"""The bodies and query strings that user management accepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from clerk_convex.entities.json import LARGEST_METADATA, json_size

__all__ = [
    "Changes",
    "InvitationId",
    "InvitationQuestion",
    "Many",
    "MetadataPatch",
    "NewInvitation",
    "NewUser",
    "Nothing",
    "NothingAsked",
    "Question",
    "SessionId",
    "SessionQuestion",
]

_DEEPEST_METADATA = 32  # levels
_SORTS = (
    *("created_at", "updated_at", "email_address", "first_name", "last_name", "phone_number", "username"),
    *("last_active_at", "last_sign_in_at"),
)
_INVITATION_SORTS = ("created_at", "email_address", "expires_at")


def _text(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f-\x9f]", value):
        raise ValueError("must not have control characters")
    return value


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if _depth(value) > _DEEPEST_METADATA:
        raise ValueError(f"is nested deeper than {_DEEPEST_METADATA} levels")
    if json_size(value) > LARGEST_METADATA:
        raise ValueError(f"is over {LARGEST_METADATA} bytes, more than Clerk stores")
    return value


def _depth(value: object) -> int:
    """Return how many levels of objects and lists are nested. Counting stops beyond the limit."""
    depth, level = 0, [value]
    while level and depth <= _DEEPEST_METADATA:
        depth += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise ValueError("is not an email address")
    return value


def _phone(value: str) -> str:
    if not re.fullmatch(r"\+[0-9]{4,20}", value):
        raise ValueError("is not a phone number; write it as +15551234567")
    return value


def _order(sorts: Collection[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        # A "+" in a query string is decoded as a space: %2B would be correct, but is rarely written.
        order = value.strip().removeprefix("+")
        if order.removeprefix("-") not in sorts:
            raise ValueError(
                f"is not an order; use one of {', '.join(sorts)}, with - in front for descending"
            )
        return order

    return check


def _id(prefix: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(rf"{prefix}_[A-Za-z0-9_]{{1,64}}", value):
            raise ValueError(f"is not such an id; write {prefix}_…")
        return value

    return check


# On single fields, not on whole models: there it would also strip the keys of metadata.
_stripped = StringConstraints(strip_whitespace=True)
_Text = Annotated[str, _stripped, AfterValidator(_text)]
_Name = Annotated[_Text, Field(min_length=1, max_length=255)]
_Username = Annotated[_Text, Field(min_length=1, max_length=64)]
_Email = Annotated[_Text, Field(max_length=254), AfterValidator(_email)]
_Phone = Annotated[str, _stripped, AfterValidator(_phone)]
_Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
_Limit = Annotated[int, Field(ge=1, le=100)]
_Offset = Annotated[int, Field(ge=0, le=1_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewUser(_Body):
    """The body of `create`. There is no password: the user sets one, or signs in without."""

    email_address: _Email | None = None
    phone_number: _Phone | None = None
    username: _Username | None = None
    first_name: _Name | None = None
    last_name: _Name | None = None
    external_id: _Name | None = None
    public_metadata: _Metadata = {}

    @model_validator(mode="after")
    def _has_identifier(self) -> Self:
        # Identifiers are unique at Clerk. So a repeated call does not create a second user.
        if self.email_address is None and self.phone_number is None and self.username is None:
            raise ValueError("needs an email_address, a phone_number or a username")
        return self


class Changes(_Body):
    """The body of `update`. A field that is absent stays; null removes its value."""

    username: _Username | None = None
    first_name: _Name | None = None
    last_name: _Name | None = None
    external_id: _Name | None = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("has no field to change")
        return self


class MetadataPatch(_Body):
    """The body of `update_metadata`. Clerk merges it at every level; null removes a key."""

    public_metadata: Annotated[_Metadata, Field(min_length=1)]


class SessionId(_Body):
    """The body of `revoke_session`."""

    session_id: Annotated[str, AfterValidator(_id("sess"))]


class NewInvitation(_Body):
    """The body of `create_invitation`. The metadata becomes that of the user who accepts it."""

    email_address: _Email
    public_metadata: _Metadata = {}
    expires_in_days: Annotated[int, Field(ge=1, le=365)] | None = None


class InvitationId(_Body):
    """The body of `revoke_invitation`."""

    invitation_id: Annotated[str, AfterValidator(_id("inv"))]


class Nothing(_Body):
    """The body of actions that need none. It may be empty or {}."""


class Many(_Body):
    """The body of a request for several users: an action with a target, and its own fields."""

    action: Literal["ban", "unban", "lock", "unlock", "delete", "update_metadata"]
    user_ids: Annotated[
        list[Annotated[str, AfterValidator(_id("user"))]],
        Field(min_length=1, max_length=50),  # as many as Clerk bans in one call
    ]
    public_metadata: _Metadata | None = None

    @model_validator(mode="after")
    def _has_the_fields_of_its_action(self) -> Self:
        if self.action == "update_metadata" and not self.public_metadata:
            raise ValueError("needs public_metadata with at least one key")
        if self.action != "update_metadata" and self.public_metadata is not None:
            raise ValueError("takes public_metadata only with update_metadata")
        return self


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Question(_Query):
    """The query string of `list`."""

    query: Annotated[_Text, Field(max_length=200)] | None = None
    email_address: Annotated[_Text, Field(max_length=254)] | None = None
    phone_number: Annotated[_Text, Field(max_length=30)] | None = None
    username: Annotated[_Text, Field(max_length=64)] | None = None
    external_id: Annotated[_Text, Field(max_length=255)] | None = None
    banned: bool | None = None
    limit: _Limit = 20
    offset: _Offset = 0
    order_by: Annotated[str, AfterValidator(_order(_SORTS))] = "-created_at"


class SessionQuestion(_Query):
    """The query string of `list_sessions`."""

    status: Literal["active", "abandoned", "ended", "expired", "removed", "replaced", "revoked"] = "active"
    limit: _Limit = 20
    offset: _Offset = 0


class InvitationQuestion(_Query):
    """The query string of `list_invitations`. Without a status it asks for all that are not revoked."""

    status: Literal["pending", "accepted", "revoked", "expired"] | None = None
    query: Annotated[_Text, Field(max_length=200)] | None = None
    limit: _Limit = 20
    offset: _Offset = 0
    order_by: Annotated[str, AfterValidator(_order(_INVITATION_SORTS))] = "-created_at"


class NothingAsked(_Query):
    """The query string of `get`, which must be empty."""
