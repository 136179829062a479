"""Let LocalClerk control the instance in the child process: `POST /local/<call>` for each call.

The body is a JSON object with the arguments, the answer `{"value": …}`. An error has a status of 400 or more:
with `errors` it is one of Clerk's API, with `message` one of the local Clerk itself. Each call needs the
control key, because web pages in this machine's browsers can reach the port too.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk.faults import Faults
from clerk_convex.local.clerk.http import answer, answer_error
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.objects import ClerkRefusal, not_found, to_json
from clerk_convex.local.clerk.svix import Delivery

__all__ = ["PREFIX", "plain", "with_control"]

PREFIX = "/local/"

METHODS = (
    *("users", "get_user", "create_user", "create_users", "update_user", "update_metadata", "delete_user"),
    *("ban", "unban", "lock", "unlock", "deprovision", "reprovision"),
    *("sign_in", "get_session", "sessions", "revoke_session", "remove_session"),
    *("session_token", "jwks", "rotate_keys", "reset"),
)
WEBHOOK_METHODS = ("add_endpoint", "send", "drain", "replay", "replay_failed")

READABLE = ("count",)
WEBHOOKS_READABLE = ("has_endpoints", "stats", "failed", "attempts")


def _unchanged(value: Any) -> Any:
    return value


# Attributes that can be set, each with the function that reads its value from JSON.
SETTABLE: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("secret_key", "token_lifetime", "lockout_seconds"), _unchanged),
    **dict.fromkeys(("session_claims", "events"), _unchanged),
    **dict.fromkeys(("faults", "frontend_faults"), lambda value: Faults(**value)),
}
WEBHOOKS_SETTABLE: Mapping[str, Callable[[Any], Any]] = {"delivery": lambda value: Delivery(**value)}

Call = Callable[..., Any]


def with_control(app: ASGIApp, clerk: ClerkInstance, key: str) -> ASGIApp:
    """Return an application that serves the calls, and `app` for all other paths.

    `key` is the Bearer token that each call needs.
    """
    calls = _calls(clerk)
    expected = f"Bearer {key}".encode()

    async def control(request: Request) -> Response:
        if not secrets.compare_digest(request.headers.get("authorization", "").encode(), expected):
            refusal = ClerkRefusal(401, "authentication_invalid", "Invalid authentication")
            return answer_error(refusal)
        name = request.url.path.removeprefix(PREFIX)
        call = calls.get(name)
        if call is None:
            return answer_error(not_found("call"))
        arguments = json.loads(await request.body())
        try:
            # A call may wait for deliveries or generate keys, so it must not block the event loop.
            return answer({"value": plain(await run_in_threadpool(call, **arguments))})
        except ClerkRefusal as refusal:
            return answer_error(refusal)
        except LocalError as error:
            return _message(400, str(error))
        except Exception as error:  # noqa: BLE001 - reported to the caller, whose arguments caused it
            return _message(500, f"The local Clerk cannot do that: {name}: {type(error).__name__}: {error}")

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        is_call = scope["path"].startswith(PREFIX)
        respond = await control(Request(scope, receive)) if is_call else app
        await respond(scope, receive, send)

    return either


def _message(status: int, message: str) -> Response:
    return Response(to_json({"message": message}), status, media_type="application/json")


def _calls(clerk: ClerkInstance) -> Mapping[str, Call]:
    webhooks = clerk.webhooks
    return {
        **dict(_calls_of(clerk, "", METHODS, READABLE, SETTABLE)),
        **dict(_calls_of(webhooks, "webhooks.", WEBHOOK_METHODS, WEBHOOKS_READABLE, WEBHOOKS_SETTABLE)),
    }


def _calls_of(
    target: object,
    prefix: str,
    methods: Iterable[str],
    readable: Iterable[str],
    settable: Mapping[str, Callable[[Any], Any]],
) -> Iterator[tuple[str, Call]]:
    for name in methods:
        yield prefix + name, getattr(target, name)
    for name in (*readable, *settable):
        yield f"{prefix}get.{name}", partial(getattr, target, name)
    for name, read in settable.items():
        yield f"{prefix}set.{name}", lambda value, name=name, read=read: setattr(target, name, read(value))


def plain(value: Any) -> Any:
    """Return `value` with dataclasses and sets turned into JSON objects and arrays."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (list, set, frozenset)):
        return [plain(item) for item in value]
    return value
