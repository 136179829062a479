"""The answers of user management: JSON, with all errors in one form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from clerk_convex.entities.json import canonical_json
from clerk_convex.entities.users import is_verified
from clerk_convex.errors import ClerkError, ClerkMisconfigured, ClerkUnavailable

__all__ = ["Problem", "answer", "clerk_problem", "invitation_of", "session_of", "user_of"]

_RETRY_AFTER = 5.0  # seconds
_NOT_DONE = "Nothing was changed."
_MAY_BE_DONE = "Clerk may have done it: look at the user before you try again."

# The fields of a Clerk user that admins see. Not private_metadata, and not unsafe_metadata, which users write
# themselves.
_FIELDS = (
    *("id", "external_id", "username", "first_name", "last_name", "image_url"),
    *("primary_email_address_id", "primary_phone_number_id", "public_metadata"),
    *("banned", "deprovisioned", "locked", "password_enabled", "two_factor_enabled"),
    *("created_at", "updated_at", "last_sign_in_at", "last_active_at"),
)


_SESSION_FIELDS = ("id", "status", "created_at", "last_active_at", "expire_at")
_DEVICE_FIELDS = (
    *("device_type", "is_mobile", "browser_name", "browser_version"),
    *("ip_address", "city", "country"),
)
# Not the url: everyone who has it can accept the invitation.
_INVITATION_FIELDS = (
    *("id", "email_address", "status", "public_metadata"),
    *("created_at", "updated_at", "expires_at"),
)


class Problem(Exception):
    """An error that is answered with `status` and `{"error": {"code", "message", …}}`.

    retry_after: seconds, for the header Retry-After and the field `retry_after`.
    more: further fields of the error.

    log_text: the text for the log, which may say more than the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.log_text = message
        self.headers = dict(headers or {})
        self.error = {"code": code, "message": message, **more}
        if retry_after is not None:
            seconds = max(1, math.ceil(retry_after))
            self.headers["Retry-After"] = str(seconds)
            self.error["retry_after"] = seconds

    def for_anyone(self, text: str) -> Problem:
        """Return this problem for a caller who may be anyone: `text` is all it says, and the log says why."""
        hidden = {name for name in self.error if name.startswith("clerk_")}
        self.error = {name: value for name, value in self.error.items() if name not in hidden}
        self.error["message"] = text
        return self


def answer(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `body` as JSON. It may hold numbers of `parse_json` that a plain encoder cannot write."""
    return Response(canonical_json(body), status, headers, media_type="application/json")


def user_of(user: Any) -> dict[str, Any]:
    """Return the fields of a Clerk user that admins see. Times are in Unix milliseconds, by Clerk's clock."""
    if not isinstance(user, dict):
        return {}
    shown = {name: user[name] for name in _FIELDS if name in user}
    for short, plural in (("email_address", "email_addresses"), ("phone_number", "phone_numbers")):
        items = user.get(plural)
        shown[plural] = [
            {"id": item.get("id"), short: item.get(short), "verified": is_verified(item)}
            for item in (items if isinstance(items, list) else ())
            if isinstance(item, dict)
        ]
    return shown


def session_of(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return what admins see of a session. Its device is null if Clerk does not know it."""
    activity = session.get("latest_activity")
    device = {name: activity[name] for name in _DEVICE_FIELDS if name in activity} if activity else None
    shown = {name: session[name] for name in _SESSION_FIELDS if name in session}
    return {**shown, "device": device, "impersonated": session.get("actor") is not None}


def invitation_of(invitation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what admins see of an invitation."""
    return {name: invitation[name] for name in _INVITATION_FIELDS if name in invitation}


def clerk_problem(error: ClerkError, *, is_write: bool) -> Problem:
    """Return the answer to an error of Clerk. `is_write`: the call may have changed something."""
    words = {"clerk_message": error.message, "clerk_trace_id": error.trace_id}
    clerks: dict[str, Any] = {name: value for name, value in words.items() if value is not None}
    if isinstance(error, ClerkUnavailable) and error.status != 409:
        status, code = 502, "clerk_unavailable"
        if error.too_slow:
            status, code = 504, "clerk_too_slow"
        elif error.status == 429 or (error.status is None and error.retry_after is not None):
            status, code = 503, "clerk_too_busy"
        more: dict[str, Any] = {}
        text = str(error)
        if is_write:
            more["may_be_done"] = error.may_be_done
            text += f" {_MAY_BE_DONE if error.may_be_done else _NOT_DONE}"
        return Problem(status, code, text, retry_after=error.retry_after or _RETRY_AFTER, **more)
    if isinstance(error, ClerkMisconfigured) or error.status is None:
        return Problem(502, "clerk_misconfigured", str(error), **clerks)
    return Problem(error.status, error.code or "clerk_refused", str(error), **clerks)
