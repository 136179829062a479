"""Pure: the body of one of Clerk's webhooks to the change it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clerk_convex.changes import Delete, Upsert
from clerk_convex.errors import EventError, UserError
from clerk_convex.users import Fields, milliseconds, parse_json, read_id, read_user

__all__ = ["Ignored", "read_event"]


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that changes no user."""

    type: str


def read_event(
    body: bytes, *, event_id: str | None = None, instance_id: str | None = None, fields: Fields | None = None
) -> Upsert | Delete | Ignored:
    """What a webhook's body, verified before, asks for.

    `user.created` and `user.updated` are the same upsert. `session.created` brings the user it embeds, looked
    at no one knows when (`observed_at` 0), so it never overwrites what is as new. Other types are ignored.

    `event_id` is the svix-id header, for the audit log. With `instance_id` the events of other Clerk
    instances are refused. `fields` is the function behind CLERK_CONVEX_FIELDS.

    Raises EventError if the body is not JSON, no event, or another instance's; UserError if it is about a
    user that cannot be read. (Shapes: Clerk's webhook specification, 2025-04-15.)
    """
    event = _envelope(body, instance_id)
    kind, data = event["type"], event.get("data")
    # Some of the specification's examples have seconds; the time per attempt, svix-timestamp, would not do.
    observed_at = milliseconds(event.get("timestamp")) or 0.0
    match kind:
        case "user.created" | "user.updated":
            user = read_user(data, fields)
            return Upsert(user.clerk_id, user.updated_at, observed_at, user.columns, "webhook", event_id)
        case "user.deleted":
            if not isinstance(data, dict):
                raise UserError("The event's data is not a JSON object.")
            return Delete(read_id(data), observed_at, "webhook", event_id)
        case "session.created":
            embedded = data.get("user") if isinstance(data, dict) else None
            if embedded is None:
                return Ignored(kind)
            user = read_user(embedded, fields)
            return Upsert(user.clerk_id, user.updated_at, 0.0, user.columns, "webhook", event_id)
        case _:
            return Ignored(kind)


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
