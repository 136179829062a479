"""HTTP helpers of `api`, `pages` and `control`: JSON answers, Clerk's errors, request bodies and faults."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import cast

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clerk_convex.local.clerk.faults import Faults
from clerk_convex.local.clerk.objects import ClerkRefusal, to_json

__all__ = ["MAX_BODY", "WithFaults", "answer", "answer_error", "on_http_error", "on_refusal", "read"]

MAX_BODY = 1024 * 1024  # bytes


class WithFaults:
    """An ASGI application that applies faults to the answers of another, and adds the Date header.

    take: returns the faults of one request, and counts it.
    delay: returns the delay that is set now, in seconds. It also shortens requests that wait already.
    """

    def __init__(self, app: ASGIApp, take: Callable[[], Faults], delay: Callable[[], float]) -> None:
        self._app = app
        self._take = take
        self._delay = delay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["date"] = formatdate(usegmt=True)
            await send(message)

        taken = self._take()
        started = time.monotonic()
        # Poll, because any thread may set other faults meanwhile.
        while time.monotonic() < started + min(taken.delay, self._delay()):  # noqa: ASYNC110
            await asyncio.sleep(min(0.05, taken.delay))
        if taken.drop:
            # An answer without its body makes the server close the connection.
            await send_dated(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]}
            )
            return
        app = self._app
        if taken.status is not None:
            headers = None
            if taken.status == 429 and taken.retry_after is not None:
                headers = {"retry-after": str(taken.retry_after)}
            refusal = ClerkRefusal(taken.status, taken.code, taken.message, f"{taken.message} (on request)")
            app = answer_error(refusal, headers)
        await app(scope, receive, send_dated)


def answer(value: object) -> Response:
    return Response(to_json(value), media_type="application/json")


def answer_error(refusal: ClerkRefusal, headers: Mapping[str, str] | None = None) -> Response:
    body = {"errors": [refusal.error], "clerk_trace_id": secrets.token_hex(16)}
    return Response(to_json(body), refusal.status, headers, media_type="application/json")


async def on_refusal(request: Request, error: Exception) -> Response:
    return answer_error(cast(ClerkRefusal, error))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer a request whose path or method does not exist."""
    known = cast(HTTPException, error)
    code = "resource_not_found" if known.status_code == 404 else "method_not_allowed"
    text = "The local Clerk has no such path, or not with this method."
    return answer_error(ClerkRefusal(known.status_code, code, known.detail, text), known.headers)


async def read(request: Request) -> bytes:
    """Return the request's body. Raises ClerkRefusal (413) as soon as it is longer than MAX_BODY."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BODY:
            raise ClerkRefusal(
                *(413, "request_body_too_large", "Request body too large"),
                f"At most {MAX_BODY} bytes are read.",
            )
    return bytes(received)
