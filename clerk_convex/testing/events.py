"""Make the events that Clerk sends, and sign them as Svix does. Nothing here needs a server."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from svix.webhooks import Webhook

from clerk_convex.errors import SettingsError
from clerk_convex.local.clerk.objects import new_event, new_session, new_user, to_json
from clerk_convex.settings import Settings

__all__ = ["event", "signed", "user"]

_SETTING = "CLERK_WEBHOOK_SIGNING_SECRET"
_INSTANCE = "ins_local"


def user(**fields: Any) -> dict[str, Any]:
    """Return a user as Clerk shows one. `fields` are those of `LocalClerk.create_user`.

    ada = user(first_name="Ada", email_address=["ada@example.com"])
    """
    return new_user(fields, _new_id, _now())


def event(kind: str, data: Mapping[str, Any], *, timestamp: int | None = None) -> dict[str, Any]:
    """Return an event as Clerk sends it.

    `data` can be a user for each event about one: `user.deleted` takes the id from it, and `session.created`
    and its like put it into a new session. For all other events it is the event's data as it is.
    `timestamp` is in Unix milliseconds; None is now.
    """
    now = _now() if timestamp is None else timestamp
    if data.get("object") == "user":
        data = _data_about(kind, data, now)
    return new_event(kind, data, _INSTANCE, now)


def signed(
    event: Mapping[str, Any] | bytes,
    secret: str | None = None,
    *,
    message_id: str | None = None,
    at: float | None = None,
) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a webhook request with this event.

        headers, body = signed(event("user.created", user(first_name="Ada")))
        response = client.post("/webhooks/clerk", content=body, headers=headers)

    secret: the signing secret (whsec_…); None is the first one of CLERK_WEBHOOK_SIGNING_SECRET in the
        environment.
    message_id: the id of the message, svix-id; None makes a new one. Clerk repeats it when it retries.
    at: the time of the attempt, in Unix seconds; None is now.

    Raises SettingsError if there is no secret or it is malformed.
    """
    body = event if isinstance(event, bytes) else to_json(event).encode()
    chosen = os.environ.get(_SETTING, "") if secret is None else secret
    known = Settings.from_env({_SETTING: chosen}).clerk_webhook_signing_secret
    if not known:
        raise SettingsError(
            f"{_SETTING} is not set in the environment: set it, or pass a secret to signed()."
        )
    moment = datetime.fromtimestamp(int(time.time() if at is None else at), UTC)
    message_id = message_id or _new_id("msg")
    signature = Webhook(known[0].get_secret_value()).sign(message_id, moment, body.decode())
    headers = {
        "content-type": "application/json",
        "svix-id": message_id,
        "svix-timestamp": str(int(moment.timestamp())),
        "svix-signature": signature,
    }
    return headers, body


def _data_about(kind: str, user: Mapping[str, Any], now: int) -> Mapping[str, Any]:
    if kind.startswith("session."):
        return {**new_session(user, _new_id, now), "user": user}
    if kind == "user.deleted":
        kept = {name: user[name] for name in ("id", "external_id") if user.get(name) is not None}
        return {**kept, "object": "user", "deleted": True}
    return user


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(14)[:27]}"


def _now() -> int:
    return time.time_ns() // 1_000_000
