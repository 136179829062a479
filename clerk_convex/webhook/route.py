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
from functools import cached_property

from standardwebhooks.webhooks import Webhook
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from clerk_convex.convex.refusals import refusal_of
from clerk_convex.convex.writer import Answer, Withdrawn, withdraw
from clerk_convex.entities.changes import OUTCOMES, Change, Outcome
from clerk_convex.entities.users import Fields
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    DeploymentMisconfigured,
    EventError,
    SettingsError,
    UserError,
)
from clerk_convex.following import follow_in_background
from clerk_convex.net.alarms import Alarms
from clerk_convex.net.bodies import BodyRefused, closing, read_body
from clerk_convex.net.logs import OnceAMinute, describe
from clerk_convex.net.observer import Observer
from clerk_convex.net.per_loop import PerLoop
from clerk_convex.net.routing import NEEDS_ASYNCIO, DoorRoute, Endpoint, is_on_asyncio, rest_of_path
from clerk_convex.service import Service, service_finder
from clerk_convex.settings import Settings, WebhookSettings
from clerk_convex.webhook.events import Ignored, parse_event, to_change
from clerk_convex.webhook.signatures import SignedHeaders, verify

__all__ = ["OnChange", "WebhookRoute", "webhook_route"]

logger = logging.getLogger("clerk_convex")

OnChange = Callable[[Change, Outcome], Awaitable[object] | object]
"""A function that is called after a change was applied, with the change and its outcome."""

_LARGEST_BODY = 512 * 1024  # bytes
_SLOWEST_BODY = 10.0  # seconds until the body is complete; Svix gives up after 15
_APPLIED = {"created", "updated", "deleted"}
_ON_CHANGE_THREADS = 8  # of a pool of their own: the loop's pool also resolves the address of Convex
_RETRY_AFTER = {"Retry-After": "5"}  # seconds
_OUTCOMES_OF_ERRORS = {400: "rejected", 422: "unreadable", 502: "refused"}  # by the status of the answer


def webhook_route(
    path: str = "/webhooks/clerk",
    *,
    settings: Settings | None = None,
    fields: Fields | None = None,
    on_change: OnChange | None = None,
    service: Service | None = None,
) -> WebhookRoute:
    """Return the route that applies Clerk's user events to the Convex `users` table.

        app = Starlette(routes=[webhook_route()])  # POST /webhooks/clerk

    settings: must have CLERK_WEBHOOK_SIGNING_SECRET, CONVEX_URL and CONVEX_DEPLOY_KEY. By default they are
        read from the environment with the first request.
    fields: takes a Clerk user and returns columns of your own. It overrides CLERK_CONVEX_FIELDS for all
        routes of the service and for its follower. The backfill, the nightly run and `clerk-convex follow`
        know only CLERK_CONVEX_FIELDS, so set it to the same function.
    on_change: called with the change and its outcome, after the answer, if the outcome is `created`,
        `updated` or `deleted`. It may be async; else it runs in a thread and must end by itself. It is called
        at most once: it is not retried if it fails or takes over 5 s, and is lost if the process ends first.
        Put what must not be lost into `onUserChange` in Convex.
    service: what the route shares with others, in place of `settings`. By default all routes with equal
        settings share one.

    The answer is JSON, `{"outcome": …}` or `{"error": "why"}`, at most 10 s after the body is complete:

    200 the change is committed in Convex, or there is nothing to do
    400 the request is not signed by this Clerk instance in the last five minutes, or is not an event
    405 the method is not POST
    408 the body takes over 10 s
    413 the body is over 512 KiB
    422 the event's user cannot be read
    502 Convex refused this change
    503 not now, with Retry-After: Convex is down or slow, a setting is wrong, or too many bodies arrive

    The route works under a mount or a prefix, with and without a slash at the end, and needs no lifespan.
    """
    return WebhookRoute(
        path, Receiver(service_finder(service, settings, WebhookSettings, fields), fields, on_change)
    )


class WebhookRoute(DoorRoute):
    """A route to a receiver, with and without a slash at the end: Svix treats a redirect as a failure."""

    def __init__(self, path: str, receiver: Receiver) -> None:
        super().__init__(path, receiver)
        self.receiver = receiver


class Receiver(Endpoint):
    """The ASGI application behind the route. It reads settings and connects with the first request."""

    def __init__(
        self, find_service: Callable[[], Service], fields: Fields | None, on_change: OnChange | None
    ) -> None:
        super().__init__("clerk_webhook")
        self._find_service = find_service
        self._fields = fields
        self._on_change = on_change
        self._threads = PerLoop(lambda: ThreadPoolExecutor(_ON_CHANGE_THREADS, "clerk_convex.on_change"))
        self._watches = PerLoop(lambda: Alarms(self.service.timeouts.disconnect_check, _Waiting.watch))
        self._once_a_minute = OnceAMinute()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        event = _Event()
        try:
            response, applied = await self._answer(scope, receive, event)
        except ClientDisconnect:
            return
        finally:
            self._observe(event)
        self._observer.answered(response.status_code)
        with contextlib.suppress(OSError):  # the client has gone, ASGI 2.4 says
            await response(scope, receive, send)
        if applied is not None and self._on_change is not None:
            await self._call_on_change(self._on_change, *applied)

    @cached_property
    def service(self) -> Service:
        """The shared service. Raises SettingsError if a setting is missing or malformed."""
        return self._find_service()

    @property
    def _observer(self) -> Observer:
        try:
            return self.service.observer
        except SettingsError:
            return _NOBODY

    def _observe(self, event: _Event) -> None:
        if event.is_verified:
            self._observer.event_seen(event.type, event.outcome)
            if event.is_done and logger.isEnabledFor(logging.INFO):
                logger.info("Webhook %s: %s", event, event.outcome, extra=event.extra)

    @cached_property
    def _webhooks(self) -> tuple[Webhook, ...]:
        """One verifier for each signing secret."""
        secrets = self.service.settings.require(WebhookSettings).clerk_webhook_signing_secret
        return tuple(Webhook(secret.get_secret_value()) for secret in secrets)

    async def _answer(
        self, scope: Scope, receive: Receive, event: _Event
    ) -> tuple[Response, tuple[Change, Outcome] | None]:
        if rest_of_path(scope) not in {"", "/"}:
            return _error(404, "There is nothing here. Is the path right?"), None
        if scope["method"] != "POST":
            return _error(405, "Clerk's webhooks are POST requests.", {"Allow": "POST"}), None
        if not is_on_asyncio():
            return self._error_response(ClerkConvexError(NEEDS_ASYNCIO), event), None
        headers = _headers(scope)
        try:
            signed = SignedHeaders.read(headers)  # before the body is read: anyone can send one
            length = headers.get("content-length", "")
            body = await read_body(receive, length, largest=_LARGEST_BODY, within=_SLOWEST_BODY)
        except (EventError, BodyRefused) as error:
            return self._error_response(error, event, closing(scope)), None
        try:
            change = self._read(signed, body, headers, event)
            del body  # frees the memory while the change waits
            if isinstance(change, Ignored):
                event.outcome = "ignored"
                if change.reason is not None:
                    which = event.id, change.type
                    logger.warning("Webhook %s (%s) is ignored: %s", *which, change.reason, extra=event.extra)
                return JSONResponse({"outcome": "ignored"}), None
            event.clerk_id = change.clerk_id
            event.outcome = outcome = await self._write(change, receive)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - Svix retries after any answer but 2xx
            return self._error_response(error, event), None
        # Faster than JSONResponse, which makes an encoder. Not shared: middleware may change its headers.
        response = Response(b'{"outcome":"%b"}' % outcome.encode(), media_type="application/json")
        return response, (change, outcome) if outcome in _APPLIED else None

    def _read(
        self, signed: SignedHeaders, body: bytes, headers: Mapping[str, str], event: _Event
    ) -> Change | Ignored:
        verify(self._webhooks, signed, body, headers)
        event.id = signed.event_id
        self.service.last_event_at = time.time()
        self.service.functions.start()
        follow_in_background(self.service)
        parsed = parse_event(body, instance_id=self.service.settings.clerk_instance_id)
        event.type = parsed["type"]
        fields = self.service.fields if self._fields is None else self._fields
        return to_change(parsed, event_id=signed.event_id, fields=fields)

    async def _write(self, change: Change, receive: Receive) -> Outcome:
        """Write the change and return its outcome.

        If the client disconnects first, withdraw the change and raise ClientDisconnect. The task that watches
        for this starts after a second: most changes are written by then and do not need it.
        """
        waiting = _Waiting(receive)
        watch = self._watches.get().set(waiting)
        try:
            return await self.service.writer.submit(change, waiting.hold)
        except Withdrawn:
            raise ClientDisconnect from None
        finally:
            watch.discard(waiting)
            if waiting.watcher is not None:
                waiting.watcher.cancel()

    def _error_response(
        self, error: Exception, event: _Event, headers: Mapping[str, str] | None = None
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
        event.outcome = _OUTCOMES_OF_ERRORS.get(status, "failed")
        if isinstance(error, UserError | ChangeRefused):
            # Each is logged, with the id by which Clerk's dashboard finds the event. All are verified.
            event.clerk_id = error.clerk_id
            self.service.ledger.add(refusal_of(error, "webhook", event.id))
            logger.error("Webhook %s is answered with %d: %s", event, status, text, extra=event.extra)
        elif not isinstance(error, DeploymentMisconfigured) and self._once_a_minute.should_log(kind):
            # The writer logs DeploymentMisconfigured itself.
            logger.warning("A webhook is answered with %d: %s", status, text, extra=event.extra)
        if isinstance(error, SettingsError):  # nothing is verified yet: the sender may be anyone
            text = "The service is not set up. Its log says what is missing or malformed."
        return _error(status, text, {**(_RETRY_AFTER if status == 503 else {}), **(headers or {})})

    async def _call_on_change(self, on_change: OnChange, change: Change, outcome: Outcome) -> None:
        try:
            async with asyncio.timeout(self.service.timeouts.on_change):
                if _is_async(on_change):
                    result = on_change(change, outcome)
                else:
                    threads = self._threads.get()
                    result = await asyncio.get_running_loop().run_in_executor(
                        threads, on_change, change, outcome
                    )
                if inspect.isawaitable(result):
                    await result
        except Exception as error:  # noqa: BLE001 - it may raise anything, with a user's data in the text
            logger.error("on_change did not succeed: %s", describe(error))  # noqa: TRY400


@dataclass(slots=True)
class _Event:
    """What is known of a request's event, for the log and for metrics.

    id: None until the signature is verified. Before that, the sender may be anyone.
    outcome: that of the change, or one of `_OUTCOMES_OF_ERRORS`, "failed", or "withdrawn".
    """

    id: str | None = None
    type: str | None = None
    clerk_id: str | None = None
    outcome: str = "withdrawn"

    @property
    def is_verified(self) -> bool:
        return self.id is not None

    @property
    def is_done(self) -> bool:
        """Whether the event was answered with 200."""
        return self.outcome in OUTCOMES

    @property
    def extra(self) -> dict[str, str | None]:
        """The attributes of log records, see docs/guides/metrics.md."""
        return {
            "event_id": self.id,
            "event_type": self.type,
            "clerk_id": self.clerk_id,
            "outcome": self.outcome,
        }

    def __str__(self) -> str:
        return f"{self.id}" if self.clerk_id is None else f"{self.id} of {self.clerk_id!r}"


_NOBODY = Observer()


class _Waiting:
    """A request whose change is being written. The change is withdrawn when the client disconnects."""

    __slots__ = ("answer", "receive", "watcher")

    answer: Answer

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.watcher: asyncio.Task[None] | None = None

    def hold(self, answer: Answer) -> None:
        """Take the answer that is waited for."""
        self.answer = answer

    def watch(self) -> None:
        """Start to watch for a client that disconnects."""
        self.watcher = asyncio.get_running_loop().create_task(self._withdraw_on_disconnect())

    async def _withdraw_on_disconnect(self) -> None:
        if (await self.receive())["type"] == "http.disconnect":  # after the body nothing else can be received
            withdraw(self.answer)


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by name. Of several with one name it is the first, as in Starlette's Headers."""
    return {
        name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(list(scope["headers"]))
    }


def _is_async(function: OnChange) -> bool:
    return any(map(inspect.iscoroutinefunction, (function, function.__call__)))  # type: ignore[operator]


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)
