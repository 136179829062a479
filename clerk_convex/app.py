"""All routes as one ASGI application: `uvicorn clerk_convex.app:app`.

It starts without any setting. Until the settings are valid, /readyz answers 503 and the log says what is
missing.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from clerk_convex.admin import Manager, user_routes
from clerk_convex.convex.writer import Status
from clerk_convex.errors import SettingsError
from clerk_convex.service import Service
from clerk_convex.settings import Settings
from clerk_convex.webhook import Receiver, webhook_route

__all__ = ["app", "create_app"]

logger = logging.getLogger("clerk_convex")

_HOUR = 3600.0  # seconds


def create_app(settings: Settings | None = None, *, service: Service | None = None) -> Starlette:
    """Return the application. Its routes share one service.

    settings: by default they are read from the environment with the first request.
    service: used in place of `settings`.
    """
    webhook = webhook_route(settings=settings, service=service)
    users = user_routes(settings=settings, service=service)
    logged: set[str] = set()

    def is_valid(part: Receiver | Manager, what: str) -> bool:
        """Return whether the settings of the part are valid. Log each problem once."""
        try:
            part.check()
        except SettingsError as error:
            text = f"{what} is off: {error}"
            if text not in logged:
                logged.add(text)
                logger.warning("%s", text)
            return False
        return True

    async def healthz(request: Request) -> JSONResponse:
        """Answer 200: the process runs."""
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        """Answer 200 if the settings of the webhook are valid, else 503.

        The state of Convex is in the body only: its outage must not take every replica out of service. So is
        the state of user management: webhooks work without it.

        `functions` says whether the functions in Convex are of this version: "ok", "older" or "newer".

        The endpoint is public. So the log says what is wrong, and the body does not. `last_event_at` (Unix
        seconds) is rounded down to the hour: it shows that webhooks arrive, but not when somebody signed in.
        """
        is_ready = is_valid(webhook.receiver, "The webhook")
        if is_ready:
            webhook.receiver.service.functions.start()  # in the background: the next answer knows
        status = webhook.receiver.service.writer_status if is_ready else None
        last_event_at = webhook.receiver.service.last_event_at if is_ready else None
        body = {
            "status": "ready" if is_ready else "not ready",
            "user_management": "ready" if is_valid(users.manager, "User management") else "off",
            "convex": None if status is None else _convex(status),
            "functions": webhook.receiver.service.functions.state if is_ready else None,
            "last_event_at": None if last_event_at is None else last_event_at // _HOUR * _HOUR,
        }
        return JSONResponse(body, 200 if is_ready else 503)

    return Starlette(routes=[webhook, users, Route("/healthz", healthz), Route("/readyz", readyz)])


def _convex(status: Status) -> str | None:
    """Return "ok" or "failing", by the last write; None before the first.

    A refused change counts as "ok": Convex has answered.
    """
    if status.last_success is None and status.last_error is None:
        return None
    failed_at = 0.0 if status.last_error in {None, "ChangeRefused"} else status.last_error_at or 0.0
    return "failing" if failed_at > (status.last_success or 0.0) else "ok"


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    # Imported modules live as long as the process. Freezing them saves 10 ms in each full garbage collection.
    # The higher threshold makes collections rarer: hundreds of events in progress are not garbage yet. If
    # another app mounts this one, this lifespan does not run.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    yield


app = create_app()
app.router.lifespan_context = _lifespan
