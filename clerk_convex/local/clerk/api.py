"""Serve the part of Clerk's Backend API (version 2026-05-12) that this project uses.

A parameter that Clerk has and this API lacks is refused, so that no test passes because it was ignored.
"""

import json
import math
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex.local.clerk.http import (
    MAX_BODY,
    WithFaults,
    answer,
    answer_error,
    on_http_error,
    on_refusal,
    read,
)
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.lacks import refuse_path
from clerk_convex.local.clerk.lists import read_invitations, read_list, read_sessions
from clerk_convex.local.clerk.objects import IDENTIFIERS, METADATA, ClerkRefusal, check_depth, to_json

__all__ = ["MAX_BODY", "RateLimit", "create_api"]

MAX_IDS = 50  # of a bulk ban
RATE_WINDOW = 10.0  # seconds
CHANGES_OF_ONE = 10  # changes of one user within RATE_WINDOW
INVITATIONS, INVITATION_WINDOW = 100, 3600.0  # invitations within so many seconds
MAX_DAYS = 365  # until an invitation expires
MAX_LIFETIME = 315_360_000  # seconds: ten years
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RateLimit:
    """Allow at most `limit` requests within any `window` seconds. A `limit` of 0 allows all."""

    def __init__(
        self, limit: int, window: float = RATE_WINDOW, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._granted: deque[float] = deque()

    def wait(self) -> float:
        """Count a request and return 0.0, or return the seconds until one is allowed."""
        if not self._limit:
            return 0.0
        now = self._clock()
        while self._granted and self._granted[0] <= now - self._window:
            self._granted.popleft()
        if len(self._granted) >= self._limit:
            return self._granted[0] + self._window - now
        self._granted.append(now)
        return 0.0


class _Api:
    """The handlers: each reads the request, calls the instance and answers with Clerk's JSON."""

    def __init__(self, clerk: "ClerkInstance") -> None:
        self._clerk = clerk
        # This limit is for each user, in addition to that of the secret key.
        limit = CHANGES_OF_ONE if clerk.rate_limit else 0
        self._changes: defaultdict[str, RateLimit] = defaultdict(lambda: RateLimit(limit))
        self._invited = RateLimit(INVITATIONS if clerk.rate_limit else 0, INVITATION_WINDOW)

    async def list_users(self, request: Request) -> Response:
        page = self._clerk.select(read_list(request.query_params.multi_items()))
        return Response(f"[{','.join(page)}]", media_type="application/json")

    async def count_users(self, request: Request) -> Response:
        question = read_list(request.query_params.multi_items(), paging=False)
        return answer({"object": "total_count", "total_count": self._clerk.count_matching(question)})

    async def create_user(self, request: Request) -> Response:
        fields = await _fields(request, CREATE)
        may_be_anonymous = fields.pop("skip_user_requirement", False)
        if not may_be_anonymous and not any(fields.get(key) for key in (*IDENTIFIERS, "username")):
            raise ClerkRefusal(
                422,
                "form_data_missing",
                "missing data",
                "A user needs at least one identifier.",
                "email_address",
            )
        return answer(self._clerk.create_user(**fields))

    async def get_user(self, request: Request) -> Response:
        return answer(self._clerk.get_user(request.path_params["user_id"]))

    async def update_user(self, request: Request) -> Response:
        if wait := self._changes[request.path_params["user_id"]].wait():
            return _too_many_requests(wait)
        fields = await _fields(request, UPDATE)
        user = self._clerk.get_user(request.path_params["user_id"])
        if self._clerk.is_managed(user["id"]):
            for key in MANAGED & fields.keys():
                message = "attribute managed by SCIM"
                raise ClerkRefusal(409, "attribute_managed_by_scim", message, param=key)
        for kind, plural in IDENTIFIERS.items():
            key = f"primary_{kind}_id"
            verified = {
                it["id"] for it in user[plural] if (it["verification"] or {}).get("status") == "verified"
            }
            if fields.get(key) is not None and fields[key] not in verified:
                raise _refused(key, f"{key} must be a verified one of this user.")
        return answer(self._clerk.update_user(user["id"], **fields))

    async def update_metadata(self, request: Request) -> Response:
        user_id, merge = request.path_params["user_id"], request.method == "PATCH"
        if merge and (wait := self._changes[user_id].wait()):
            return _too_many_requests(wait)
        fields = await _fields(request, dict.fromkeys(METADATA, _object))
        return answer(self._clerk.update_metadata(user_id, merge=merge, **fields))

    async def delete_user(self, request: Request) -> Response:
        user_id = request.path_params["user_id"]
        if self._clerk.is_managed(user_id):
            raise ClerkRefusal(409, "user_managed_by_scim", "user managed by SCIM")
        return answer(self._clerk.delete_user(user_id))

    async def ban(self, request: Request) -> Response:
        return answer(self._clerk.ban(request.path_params["user_id"]))

    async def unban(self, request: Request) -> Response:
        return answer(self._clerk.unban(request.path_params["user_id"]))

    async def ban_all(self, request: Request) -> Response:
        return answer(self._clerk.ban_all(await _user_ids(request), banned=True))

    async def unban_all(self, request: Request) -> Response:
        return answer(self._clerk.ban_all(await _user_ids(request), banned=False))

    async def lock(self, request: Request) -> Response:
        return answer(self._clerk.lock(request.path_params["user_id"]))

    async def unlock(self, request: Request) -> Response:
        return answer(self._clerk.unlock(request.path_params["user_id"]))

    async def create_session(self, request: Request) -> Response:
        fields = await _fields(request, {"user_id": _text})
        if not fields.get("user_id"):
            raise ClerkRefusal(422, "form_data_missing", "missing data", "user_id must be given.", "user_id")
        return answer(self._clerk.sign_in(fields["user_id"]))

    async def list_sessions(self, request: Request) -> Response:
        question = read_sessions(request.query_params.multi_items())
        found = self._clerk.sessions(
            user_id=question.user_id, client_id=question.client_id, status=question.status
        )
        page = found[question.offset : question.offset + question.limit]
        return answer({"data": page, "total_count": len(found)} if question.paginated else page)

    async def get_session(self, request: Request) -> Response:
        return answer(self._clerk.get_session(request.path_params["session_id"]))

    async def revoke_session(self, request: Request) -> Response:
        return answer(self._clerk.revoke_session(request.path_params["session_id"]))

    async def list_invitations(self, request: Request) -> Response:
        question = read_invitations(request.query_params.multi_items())
        found = self._clerk.invitations(question)
        page = found[question.offset : question.offset + question.limit]
        return answer({"data": page, "total_count": len(found)} if question.paginated else page)

    async def create_invitation(self, request: Request) -> Response:
        if wait := self._invited.wait():
            return _too_many_requests(wait)
        fields = await _fields(request, INVITE)
        if not fields.get("email_address"):
            text = "email_address must be given."
            raise ClerkRefusal(422, "form_param_missing", "is missing", text, "email_address")
        return answer(self._clerk.invite(**fields))

    async def revoke_invitation(self, request: Request) -> Response:
        return answer(self._clerk.revoke_invitation(request.path_params["invitation_id"]))

    async def create_token(self, request: Request) -> Response:
        fields = await _fields(request, {"expires_in_seconds": _lifetime}, empty=True)
        template = request.path_params.get("template")
        token = await run_in_threadpool(  # the first call generates the keys, which takes a while
            self._clerk.session_token,
            request.path_params["session_id"],
            lifetime=fields.get("expires_in_seconds"),
            template=template,
        )
        return answer({"object": "token", "jwt": token})

    async def get_instance(self, request: Request) -> Response:
        kind = "production" if self._clerk.secret_key.startswith("sk_live_") else "development"
        instance = {"object": "instance", "id": self._clerk.instance_id, "environment_type": kind}
        return answer({**instance, "allowed_origins": None})

    def jwks(self, request: Request) -> Response:
        return answer(self._clerk.jwks())


class _Gate:
    """Check the path, the secret key and the rate limit before the handlers.

    The path comes first: a 401 would send the reader of the answer to look for another key.
    """

    def __init__(self, app: Starlette, clerk: "ClerkInstance") -> None:
        self._app = app
        self._clerk = clerk
        self._rate = RateLimit(clerk.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._refusal(scope) or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        path, headers = scope["path"], Headers(scope=scope)
        matches = {route.matches(scope)[0] for route in self._app.router.routes}
        if Match.FULL not in matches:
            refusal = refuse_path(path)
            # A known path with another method is answered by the application, unless Clerk has that method.
            if refusal.status == 501 or Match.PARTIAL not in matches:
                return answer_error(refusal)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return answer_error(
                ClerkRefusal(
                    401, "authentication_invalid", "Invalid authentication", "Send a secret key as Bearer."
                )
            )
        if not secrets.compare_digest(key.encode(), self._clerk.secret_key.encode()):
            return answer_error(
                ClerkRefusal(
                    401,
                    "clerk_key_invalid",
                    "The provided key is invalid",
                    "This is not the instance's secret key.",
                )
            )
        if path == "/v1/jwks":  # not limited at Clerk
            return None
        wait = self._rate.wait()
        return _too_many_requests(wait) if wait else None


def create_api(clerk: "ClerkInstance") -> ASGIApp:
    """Return the ASGI application that serves the Backend API of `clerk`."""
    api = _Api(clerk)
    app = Starlette(
        routes=[
            Route("/v1/users", api.list_users),
            Route("/v1/users", api.create_user, methods=["POST"]),
            Route("/v1/users/count", api.count_users),
            Route("/v1/users/ban", api.ban_all, methods=["POST"]),
            Route("/v1/users/unban", api.unban_all, methods=["POST"]),
            Route("/v1/users/{user_id}", api.get_user),
            Route("/v1/users/{user_id}", api.update_user, methods=["PATCH"]),
            Route("/v1/users/{user_id}", api.delete_user, methods=["DELETE"]),
            Route("/v1/users/{user_id}/metadata", api.update_metadata, methods=["PATCH", "PUT"]),
            Route("/v1/users/{user_id}/ban", api.ban, methods=["POST"]),
            Route("/v1/users/{user_id}/unban", api.unban, methods=["POST"]),
            Route("/v1/users/{user_id}/lock", api.lock, methods=["POST"]),
            Route("/v1/users/{user_id}/unlock", api.unlock, methods=["POST"]),
            Route("/v1/sessions", api.list_sessions),
            Route("/v1/sessions", api.create_session, methods=["POST"]),
            Route("/v1/sessions/{session_id}", api.get_session),
            Route("/v1/sessions/{session_id}/revoke", api.revoke_session, methods=["POST"]),
            Route("/v1/sessions/{session_id}/tokens", api.create_token, methods=["POST"]),
            Route("/v1/sessions/{session_id}/tokens/{template}", api.create_token, methods=["POST"]),
            Route("/v1/invitations", api.list_invitations),
            Route("/v1/invitations", api.create_invitation, methods=["POST"]),
            Route("/v1/invitations/{invitation_id}/revoke", api.revoke_invitation, methods=["POST"]),
            Route("/v1/instance", api.get_instance),
            Route("/v1/jwks", api.jwks),
        ],
        exception_handlers={ClerkRefusal: on_refusal, HTTPException: on_http_error},
    )
    app.router.redirect_slashes = False
    return WithFaults(_Gate(app, clerk), clerk.take_fault, lambda: clerk.faults.delay)


def _too_many_requests(wait: float) -> Response:
    return answer_error(
        ClerkRefusal(429, "too_many_requests", "Too many requests", "Try again after a while."),
        {"retry-after": str(math.ceil(wait))},
    )


async def _body(request: Request, *, empty: bool = False) -> dict[str, Any]:
    """Return the request's JSON object. With `empty`, an empty body is an empty object."""
    try:
        text = await read(request)
        body = {} if empty and not text else json.loads(text)
        check_depth(body)
        to_json(body)  # raises ValueError for NaN and infinity, which json.loads accepts
    except (ValueError, RecursionError, ClientDisconnect):
        body = None
    if not isinstance(body, dict):
        raise ClerkRefusal(
            400, "request_body_invalid", "Request body invalid", "The body must be a JSON object."
        )
    return body


async def _user_ids(request: Request) -> list[str]:
    fields = await _fields(request, {"user_ids": _texts})
    if not 1 <= len(fields.get("user_ids", ())) <= MAX_IDS:
        raise _refused("user_ids", f"user_ids must be an array of 1 to {MAX_IDS} ids of users.")
    return list(fields["user_ids"])


Reader = Callable[[str, Any], Any]
"""Takes a parameter's name and JSON value, and returns the field's value or raises ClerkRefusal."""


async def _fields(request: Request, readers: Mapping[str, Reader], *, empty: bool = False) -> dict[str, Any]:
    """Return the request's parameters, each read by its reader.

    A null parameter counts as absent, except for strings, which it clears.
    """
    fields: dict[str, Any] = {}
    for key, value in (await _body(request, empty=empty)).items():
        reader = readers.get(key)
        if reader is None:
            raise ClerkRefusal(
                422, "form_param_unknown", "is unknown", "The local Clerk takes no such parameter here.", key
            )
        if value is not None or reader in (_text, _username):
            fields[key] = reader(key, value)
    for key in IGNORED:
        fields.pop(key, None)
    if fields.pop("password", None) is not None:
        fields["password_enabled"] = True
    return fields


def _refused(key: str, why: str, code: str = "form_param_format_invalid") -> ClerkRefusal:
    return ClerkRefusal(422, code, "is invalid", why, key)


def _text(key: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _refused(key, f"{key} must be a string.")
    return value


def _username(key: str, value: Any) -> str | None:
    return _text(key, value) or None  # at Clerk an empty string removes the username


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refused(key, f"{key} must be true or false.")
    return value


def _integer(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refused(key, f"{key} must be a whole number.")
    return value


def _lifetime(key: str, value: Any) -> int:
    if not 1 <= _integer(key, value) <= MAX_LIFETIME:
        raise _refused(key, f"{key} must be between 1 and {MAX_LIFETIME}.")
    return int(value)


def _days(key: str, value: Any) -> int:
    if not 1 <= _integer(key, value) <= MAX_DAYS:
        raise _refused(key, f"{key} must be between 1 and {MAX_DAYS}.")
    return int(value)


def _email_address(key: str, value: Any) -> str:
    if not isinstance(value, str) or "@" not in value:
        raise _refused(key, f"{key} must be a valid email address.")
    return value


def _template(key: str, value: Any) -> str:
    if value not in ("invitation", "waitlist_invitation"):
        raise _refused(key, f"{key} must be invitation or waitlist_invitation.")
    return str(value)


def _object(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(key, f"{key} must be an object.")
    return value


def _texts(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _refused(key, f"{key} must be an array of strings.")
    return value


def _email_addresses(key: str, value: Any) -> list[str]:
    addresses = _texts(key, value)
    if not all("@" in address for address in addresses):
        raise _refused(key, f"{key} must be an array of email addresses.")
    return addresses


def _password(key: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) < 8:
        raise _refused(key, "Passwords must be 8 characters or more.", "form_password_length_too_short")
    return value


def _moment(key: str, value: Any) -> int:
    """Return an RFC 3339 time as Unix milliseconds."""
    try:
        moment = datetime.fromisoformat(value)
        # The subtraction raises TypeError for a time without an offset.
        return (moment - EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError, OverflowError):
        raise _refused(key, f"{key} must be an RFC 3339 time.") from None


# Fields that a PATCH cannot change while a company's SCIM directory manages the user.
MANAGED = frozenset({"first_name", "last_name", "username"})
# Accepted without effect: the local Clerk sends users no messages and stores no passwords.
IGNORED = (
    *("skip_password_requirement", "skip_password_checks", "skip_legal_checks"),
    *("sign_out_of_other_sessions", "notify_primary_email_address_changed"),
)
COMMON: dict[str, Reader] = {
    **dict.fromkeys(("external_id", "first_name", "last_name", "locale"), _text),
    "username": _username,
    **dict.fromkeys(("delete_self_enabled", "create_organization_enabled", "bypass_client_trust"), _boolean),
    **dict.fromkeys(("skip_password_checks", "skip_legal_checks"), _boolean),
    "create_organizations_limit": _integer,
    **dict.fromkeys(("created_at", "legal_accepted_at"), _moment),
    "password": _password,
}
CREATE: dict[str, Reader] = {
    **COMMON,
    "email_address": _email_addresses,
    **dict.fromkeys(("phone_number", "web3_wallet"), _texts),
    **dict.fromkeys(METADATA, _object),
    **dict.fromkeys(("banned", "locked", "skip_user_requirement", "skip_password_requirement"), _boolean),
}
# No email is sent, so some of these have no effect.
INVITE: dict[str, Reader] = {
    "email_address": _email_address,
    "public_metadata": _object,
    "redirect_url": _text,
    "expires_in_days": _days,
    "template_slug": _template,
    **dict.fromkeys(("notify", "ignore_existing"), _boolean),
}
# Metadata has its own path since Clerk's API version 2026-05-12.
UPDATE: dict[str, Reader] = {
    **COMMON,
    **dict.fromkeys((f"primary_{kind}_id" for kind in IDENTIFIERS), _text),
    **dict.fromkeys(("sign_out_of_other_sessions", "notify_primary_email_address_changed"), _boolean),
}
