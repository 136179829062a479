"""Pure: the body of one of Clerk's webhooks to the change it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clerk_convex.entities.changes import Change, Delete, SignIn, Upsert
from clerk_convex.entities.json import parse_json
from clerk_convex.entities.times import milliseconds
from clerk_convex.entities.users import Fields, is_partial, read_id, read_user
from clerk_convex.errors import EventError, UserError

__all__ = ["Ignored", "read_event"]


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that changes no user. `reason`: why not, if it is of a type that should."""

    type: str
    reason: str | None = None


def read_event(
    body: bytes, *, event_id: str | None = None, instance_id: str | None = None, fields: Fields | None = None
) -> Change | Ignored:
    """Return the change that the body of a verified webhook asks for.

    `user.created` and `user.updated` are the same upsert. `session.created` is an upsert of the user it
    embeds. When Clerk looked at that user is not known (`observed_at` 0), so it overwrites nothing that is as
    new. If the embedded user is partial, only the time of the sign-in is taken. Other types are ignored.

    A deletion or a sign-in that does not say whose it is can never be applied: it is ignored with a reason.

    `event_id` is the svix-id header, for the audit log. With `instance_id` the events of other Clerk
    instances are refused. `fields` is the function behind CLERK_CONVEX_FIELDS.

    Raises EventError if the body is not JSON, no event, or another instance's; UserError if a user that was
    created or updated cannot be read, or if `fields` fails. Both may succeed later: after an upgrade, or once
    `fields` is mended. (Shapes: Clerk's webhook specification, 2025-04-15.)
    """
    event = _envelope(body, instance_id)
    kind, data = event["type"], event.get("data")
    # Some of the specification's examples have seconds; the time per attempt, svix-timestamp, would not do.
    observed_at = milliseconds(event.get("timestamp")) or 0.0
    match kind:
        case "user.created" | "user.updated":
            user = read_user(data, fields, observed_at=observed_at)
            return Upsert(user.clerk_id, user.updated_at, observed_at, user.columns, "webhook", event_id)
        case "user.deleted":
            clerk_id = _id(data)
            if clerk_id is None:
                return Ignored(
                    kind, "it does not say which user was deleted. A backfill with --prune finds out."
                )
            return Delete(clerk_id, observed_at, "webhook", event_id)
        case "session.created":
            embedded = data.get("user") if isinstance(data, dict) else None
            if embedded is None:
                return Ignored(kind)
            return _signed_in(kind, embedded, fields, event_id)
        case _:
            return Ignored(kind)


def _signed_in(
    kind: str, user: object, fields: Fields | None, event_id: str | None
) -> Upsert | SignIn | Ignored:
    clerk_id = _id(user)
    if clerk_id is None or not isinstance(user, dict):
        return Ignored(kind, "it does not say who signed in.")
    if is_partial(user):
        at = milliseconds(user.get("last_sign_in_at"))
        if at is None:
            return Ignored(kind, "its user is partial and has no last_sign_in_at.")
        return SignIn(clerk_id, at, "webhook", event_id)
    read = read_user(user, fields)
    return Upsert(clerk_id, read.updated_at, 0.0, read.columns, "webhook", event_id)


def _id(data: object) -> str | None:
    try:
        return read_id(data) if isinstance(data, dict) else None
    except UserError:
        return None


def _envelope(body: bytes, instance_id: str | None) -> Mapping[str, Any]:
    try:
        event = parse_json(body)
    except ValueError:
        raise EventError("The body is not JSON.") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise EventError("The body is not an event: it has no type.")
    if instance_id is not None and event.get("instance_id", instance_id) != instance_id:
        raise EventError(
            "The event is another Clerk instance's; CLERK_INSTANCE_ID says which one is expected."
        )
    return event
