"""All of it as one ASGI application: `uvicorn clerk_convex.app:app`.

Importing it needs no settings: what is missing is said by /readyz, in the log and in the webhooks' answers.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from clerk_convex.admin import user_routes
from clerk_convex.errors import SettingsError
from clerk_convex.settings import Settings
from clerk_convex.webhook import webhook_route

__all__ = ["app", "create_app"]


def create_app(settings: Settings | None = None) -> Starlette:
    """The application, with these settings or, from the first request on, the environment's."""
    webhook = webhook_route(settings=settings)
    users = user_routes(settings=settings)

    async def healthz(request: Request) -> JSONResponse:
        """200: the process runs."""
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        """200 if the settings are valid, else 503 with what is wrong.

        Whether Convex is up is only in the body: its outage must not take every replica out of service. So is
        what user management lacks, for webhooks do not need it. Times are Unix seconds; `convex` is null
        until this process had something to write.
        """
        status = webhook.receiver.writer_status
        body: dict[str, Any] = {
            "convex": None if status is None else asdict(status),
            "last_event_at": webhook.receiver.last_event_at,
            "user_management": "ready",
        }
        try:
            users.manager.check()
        except SettingsError as error:
            body["user_management"] = f"off: {error}"
        try:
            webhook.receiver.check()
        except SettingsError as error:
            return JSONResponse({"status": "not ready", "error": str(error), **body}, 503)
        return JSONResponse({"status": "ready", **body})

    return Starlette(routes=[webhook, users, Route("/healthz", healthz), Route("/readyz", readyz)])


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
