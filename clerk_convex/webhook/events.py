"""Reads the body of one of Clerk's webhooks into the change that it asks for. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clerk_convex.entities.changes import Change, Delete, SignIn, Upsert
from clerk_convex.entities.json import parse_json
from clerk_convex.entities.times import milliseconds
from clerk_convex.entities.users import Fields, is_partial, read_id, read_user
from clerk_convex.errors import EventError, UserError

__all__ = ["Ignored", "parse_event", "to_change"]


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that changes no user. `reason` says why, if events of this type usually do."""

    type: str
    reason: str | None = None


def parse_event(body: bytes, *, instance_id: str | None = None) -> Mapping[str, Any]:
    """Return the event in the body of a verified webhook. Its "type" is a text.

    instance_id: reject the events of other Clerk instances.

    Raises EventError if the body is not JSON, not an event, or another instance's.
    """
    try:
        event = parse_json(body)
    except ValueError:
        raise EventError("The body is not JSON.") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise EventError("The body is not an event: it has no type.")
    if instance_id is not None and event.get("instance_id", instance_id) != instance_id:
        raise EventError("The event is from another Clerk instance than CLERK_INSTANCE_ID names.")
    return event


def to_change(
    event: Mapping[str, Any], *, event_id: str | None = None, fields: Fields | None = None
) -> Change | Ignored:
    """Return the change that an event asks for.

    `user.created` and `user.updated` become an upsert, `user.deleted` a deletion. `session.created` becomes
    an upsert of the user that it embeds. The event does not tell when Clerk read that user, so `observed_at`
    is 0, and the upsert replaces only older data. If the embedded user is partial, the event becomes a
    sign-in, which changes only the time of the last one. Other types are ignored.

    A deletion or a sign-in without a user's id can never be applied. It is ignored with a reason.

    event_id: the svix-id header, for the audit log.
    fields: the function of CLERK_CONVEX_FIELDS.

    Raises UserError if a created or updated user cannot be read, or if `fields` fails. A retry may succeed
    after an upgrade, or once `fields` is fixed. (Shapes: Clerk's webhook specification, 2025-04-15.)
    """
    kind, data = event["type"], event.get("data")
    # `milliseconds` also takes seconds, as some examples of the specification have. The svix-timestamp header
    # would be wrong here: it is the time of the attempt, not of the event.
    observed_at = milliseconds(event.get("timestamp")) or 0.0
    match kind:
        case "user.created" | "user.updated":
            user = read_user(data, fields, observed_at=observed_at)
            return Upsert(user.clerk_id, user.updated_at, observed_at, user.columns, "webhook", event_id)
        case "user.deleted":
            clerk_id = _id(data)
            if clerk_id is None:
                return Ignored(
                    kind, "it has no id of the deleted user. A backfill with --prune removes that user."
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
        return Ignored(kind, "it has no id of the user who signed in.")
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
