"""The Starlette route that Clerk's webhooks are sent to."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from svix.webhooks import Webhook

from clerk_convex.bodies import BodyRefused, closing, read_body
from clerk_convex.changes import Change, Outcome
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    DeploymentMisconfigured,
    EventError,
    SettingsError,
    UserError,
)
from clerk_convex.events import Ignored, read_event
from clerk_convex.logs import OnceAMinute, describe
from clerk_convex.routing import NEEDS_ASYNCIO, DoorRoute, Endpoint, is_on_asyncio, rest_of_path
from clerk_convex.settings import Settings
from clerk_convex.shared import PerLoop, writers
from clerk_convex.signatures import SignedHeaders, event_id, verify
from clerk_convex.users import Fields
from clerk_convex.writer import Status, Writer

__all__ = ["OnChange", "WebhookRoute", "webhook_route"]

logger = logging.getLogger("clerk_convex")

OnChange = Callable[[Change, Outcome], Awaitable[object] | object]
"""What a team does after a change: takes the change and what became of it."""

_LARGEST_BODY = 512 * 1024  # bytes
_SLOWEST_BODY = 10.0  # seconds until it is there, however it drips in; Svix gives up after 15
_APPLIED = {"created", "updated", "deleted"}
_LISTEN_AFTER = 1.0  # seconds
_ON_CHANGE_LIMIT = 5.0  # seconds
_ON_CHANGE_THREADS = 8  # not the loop's own: those look up the address of Convex
_RETRY_AFTER = {"Retry-After": "5"}  # seconds


def webhook_route(
    path: str = "/webhooks/clerk",
    *,
    settings: Settings | None = None,
    fields: Fields | None = None,
    on_change: OnChange | None = None,
) -> WebhookRoute:
    """The route that applies each of Clerk's user events to the Convex `users` table.

        app = Starlette(routes=[webhook_route()])  # POST /webhooks/clerk

    `settings` (default: the environment's, read with the first request) needs CLERK_WEBHOOK_SIGNING_SECRET,
    CONVEX_URL and CONVEX_DEPLOY_KEY. `fields` overrides CLERK_CONVEX_FIELDS: it takes the Clerk user and
    returns columns of your own.

    `on_change(change, outcome)`, async or not, is called after the answer of an event that was applied
    (`created`, `updated` or `deleted`). It is a convenience, called at most once: not again if it fails or
    takes over 5 s, and not at all if the process ends before. What must not be lost belongs into
    `onUserChange` in Convex. One that is not async runs in a thread and must come to an end by itself.

    Answers in JSON, `{"outcome": …}` or `{"error": "why"}`, and within 10 s of the body's end:

    200 committed in Convex, or nothing to do; 400 not signed by this Clerk instance in the last five minutes,
    or no event; 405 not POST; 408 the body takes over 10 s; 413 it is over 512 KiB; 422 no user can be read
    from it; 502 Convex refused this change; 503 not now, with Retry-After: Convex is down, too slow or not
    set up, or the settings are not, or too many bodies arrive at once.

    It works wherever it is mounted, with and without a slash at the end, and needs no lifespan.
    """
    return WebhookRoute(path, Receiver(settings, fields, on_change))


class WebhookRoute(DoorRoute):
    """A route to a receiver, with and without a slash at the end: Svix takes a redirect for a failure."""

    def __init__(self, path: str, receiver: Receiver) -> None:
        super().__init__(path, receiver)
        self.receiver = receiver


@dataclass(frozen=True, slots=True)
class _Setup:
    """What the settings say, checked."""

    settings: Settings
    webhooks: tuple[Webhook, ...]
    fields: Fields | None
    writers: PerLoop[Writer]


class Receiver(Endpoint):
    """The ASGI application behind the route. Makes nothing before the first request needs it."""

    def __init__(self, settings: Settings | None, fields: Fields | None, on_change: OnChange | None) -> None:
        super().__init__("clerk_webhook")
        self.last_event_at: float | None = None
        """When an event of Clerk's last came in, whatever became of it: Unix time in seconds."""
        self._settings = settings
        self._fields = fields
        self._on_change = on_change
        self._setup: _Setup | None = None
        self._threads = PerLoop(lambda: ThreadPoolExecutor(_ON_CHANGE_THREADS, "clerk_convex.on_change"))
        self._sayings = OnceAMinute()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            response, applied = await self._answer(Request(scope, receive))
            with contextlib.suppress(OSError):  # the client has gone, ASGI 2.4 says
                await response(scope, receive, send)
            if applied is not None and self._on_change is not None:
                await self._tell(self._on_change, *applied)

    def check(self) -> None:
        """Raises SettingsError if the settings are not what the route needs."""
        self._set_up()

    @property
    def writer_status(self) -> Status | None:
        """What this event loop's writer is doing; None if it was not needed so far."""
        writer = None if self._setup is None else self._setup.writers.made
        return None if writer is None else writer.status

    async def _answer(self, request: Request) -> tuple[Response, tuple[Change, Outcome] | None]:
        if rest_of_path(request.scope) not in {"", "/"}:
            return _error(404, "There is nothing here. Is the path right?"), None
        if request.method != "POST":
            return _error(405, "Clerk's webhooks are POST requests.", {"Allow": "POST"}), None
        if not is_on_asyncio():
            return self._refusal(ClerkConvexError(NEEDS_ASYNCIO), request), None
        try:
            signed = SignedHeaders.read(request.headers)  # before the body: anyone can send one
            body = await read_body(request, largest=_LARGEST_BODY, within=_SLOWEST_BODY)
        except (EventError, BodyRefused) as error:
            return self._refusal(error, request, closing(request)), None
        try:
            change = self._read(signed, body, request)
            del body  # an event waits without it
            if isinstance(change, Ignored):
                if change.reason is not None:
                    which = event_id(request.headers), change.type
                    logger.warning("Webhook %s (%s) is ignored: %s", *which, change.reason)
                return JSONResponse({"outcome": "ignored"}), None
            outcome = await self._write(change, request)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - Svix tries again after any answer but 200
            return self._refusal(error, request), None
        # JSONResponse would make an encoder; and each event gets its own: middleware may change its headers.
        response = Response(b'{"outcome":"%b"}' % outcome.encode(), media_type="application/json")
        return response, (change, outcome) if outcome in _APPLIED else None

    def _read(self, signed: SignedHeaders, body: bytes, request: Request) -> Change | Ignored:
        setup = self._set_up()
        verify(setup.webhooks, signed, body, request.headers)
        self.last_event_at = time.time()
        return read_event(
            body,
            event_id=signed.event_id,
            instance_id=setup.settings.clerk_instance_id,
            fields=setup.fields,
        )

    async def _write(self, change: Change, request: Request) -> Outcome:
        """What became of the change. Withdraws it and raises ClientDisconnect if the client goes away.

        It begins to listen for that after a second: most changes are written by then, and spare the task.
        """
        writer = self._set_up().writers.get()
        waiting = asyncio.timeout(None)
        listeners: list[asyncio.Task[None]] = []
        timer = asyncio.get_running_loop().call_later(
            _LISTEN_AFTER, lambda: listeners.append(asyncio.create_task(_end_when_gone(waiting, request)))
        )
        try:
            async with waiting:
                return await writer.submit(change)
        except TimeoutError:
            if waiting.expired():
                raise ClientDisconnect from None
            raise
        finally:
            timer.cancel()
            for listener in listeners:
                listener.cancel()

    def _refusal(
        self, error: Exception, request: Request, headers: Mapping[str, str] | None = None
    ) -> Response:
        kind: tuple[object, ...] = (type(error),)
        match error:
            case BodyRefused():
                status, text, kind = error.status, str(error), (BodyRefused, error.status)
            case EventError():
                status, text, kind = 400, str(error), (EventError, error.cause)
            case UserError():
                status, text = 422, str(error)
            case ChangeRefused():
                status, text = 502, str(error)
            case ClerkConvexError():
                status, text = 503, str(error)
            case _:
                status, text = 503, f"Unexpected {describe(error)}."
        if status in {422, 502}:  # Clerk's dashboard finds the event by this id
            which = event_id(request.headers)
            if isinstance(error, UserError | ChangeRefused) and error.clerk_id is not None:
                which += f" of {error.clerk_id!r}"
            logger.error("Webhook %s is answered with %d: %s", which, status, text)
        elif not isinstance(error, DeploymentMisconfigured):  # of which the writer says so
            self._log_once_a_minute(kind, f"A webhook is answered with {status}: {text}")
        if isinstance(error, SettingsError):  # Nothing is verified yet, so the sender may be anyone.
            text = "The service is not set up. Its log says what is missing or malformed."
        return _error(status, text, {**(_RETRY_AFTER if status == 503 else {}), **(headers or {})})

    def _set_up(self) -> _Setup:
        if self._setup is None:
            settings = Settings.from_env() if self._settings is None else self._settings
            settings.require("CLERK_WEBHOOK_SIGNING_SECRET", "CONVEX_URL", "CONVEX_DEPLOY_KEY")
            webhooks = tuple(
                Webhook(secret.get_secret_value()) for secret in settings.clerk_webhook_signing_secret
            )
            fields = settings.clerk_convex_fields if self._fields is None else self._fields
            self._setup = _Setup(settings, webhooks, fields, writers(settings))
        return self._setup

    async def _tell(self, on_change: OnChange, change: Change, outcome: Outcome) -> None:
        try:
            async with asyncio.timeout(_ON_CHANGE_LIMIT):
                if _is_async(on_change):
                    result = on_change(change, outcome)
                else:
                    threads = self._threads.get()
                    result = await asyncio.get_running_loop().run_in_executor(
                        threads, on_change, change, outcome
                    )
                if inspect.isawaitable(result):
                    await result
        except Exception as error:  # noqa: BLE001 - what a team's function raises; its text may hold a user's data
            logger.error("on_change did not succeed: %s", describe(error))  # noqa: TRY400

    def _log_once_a_minute(self, kind: object, text: str) -> None:
        if self._sayings.is_due(kind):
            logger.warning("%s", text)


async def _end_when_gone(waiting: asyncio.Timeout, request: Request) -> None:
    """Ends the waiting when the client leaves: after the body, that is all that can be received."""
    if (await request.receive())["type"] == "http.disconnect":
        waiting.reschedule(asyncio.get_running_loop().time())


def _is_async(function: OnChange) -> bool:
    return any(map(inspect.iscoroutinefunction, (function, function.__call__)))  # type: ignore[operator]


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)
