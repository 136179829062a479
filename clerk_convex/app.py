"""All of it as one ASGI application: `uvicorn clerk_convex.app:app`.

Importing it needs no settings: until they are valid /readyz is 503, and the log says what is missing.
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
from clerk_convex.errors import SettingsError
from clerk_convex.settings import Settings
from clerk_convex.webhook import Receiver, webhook_route
from clerk_convex.writer import Status

__all__ = ["app", "create_app"]

logger = logging.getLogger("clerk_convex")

_HOUR = 3600.0  # seconds


def create_app(settings: Settings | None = None) -> Starlette:
    """The application, with these settings or, from the first request on, the environment's."""
    webhook = webhook_route(settings=settings)
    users = user_routes(settings=settings)
    logged: set[str] = set()

    def is_valid(part: Receiver | Manager, what: str) -> bool:
        """Whether the part has the settings it needs; what is wrong with them is logged once."""
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
        """200: the process runs."""
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        """200 if the settings of the webhook are valid, else 503.

        Whether Convex is up is only in the body: its outage must not take every replica out of service. So is
        whether user management has its settings, for webhooks do not need it.

        Anyone may ask. So the log, not the body, says what is wrong, and `last_event_at` (Unix seconds) is a
        full hour: it shows that webhooks arrive, but not when somebody signed in.
        """
        is_ready = is_valid(webhook.receiver, "The webhook")
        status, last_event_at = webhook.receiver.writer_status, webhook.receiver.last_event_at
        body = {
            "status": "ready" if is_ready else "not ready",
            "user_management": "ready" if is_valid(users.manager, "User management") else "off",
            "convex": None if status is None else _convex(status),
            "last_event_at": None if last_event_at is None else last_event_at // _HOUR * _HOUR,
        }
        return JSONResponse(body, 200 if is_ready else 503)

    return Starlette(routes=[webhook, users, Route("/healthz", healthz), Route("/readyz", readyz)])


def _convex(status: Status) -> str:
    """How the last attempt to write ended. That Convex refuses one user is no trouble of Convex's."""
    failed_at = 0.0 if status.last_error in {None, "ChangeRefused"} else status.last_error_at or 0.0
    return "failing" if failed_at > (status.last_success or 0.0) else "ok"


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    # What is imported lives as long as the process, and the garbage collector would walk it again and again,
    # for 10 ms each time; the hundreds of events under way, too, are no garbage yet when it comes this often.
    # Not so where this app is mounted in another: its lifespan is not run then, and the collector not ours.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    yield


app = create_app()
app.router.lifespan_context = _lifespan
