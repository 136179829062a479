"""All routes as one ASGI application: `uvicorn clerk_convex.app:app`.

It starts without any setting. Until the settings are valid, /readyz answers 503 and the log says what is
missing.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncGenerator

from starlette.applications import Starlette

from clerk_convex.admin import user_routes
from clerk_convex.errors import SettingsError
from clerk_convex.following import follow_in_background
from clerk_convex.health import health_routes
from clerk_convex.metrics import metrics_routes
from clerk_convex.service import Service, service_finder
from clerk_convex.settings import Settings, WebhookSettings
from clerk_convex.webhook import webhook_route

__all__ = ["app", "create_app"]


def create_app(settings: Settings | None = None, *, service: Service | None = None) -> Starlette:
    """Return the application. Its routes share one service.

    settings: by default they are read from the environment with the first request.
    service: used in place of `settings`.
    """
    return Starlette(
        routes=[
            webhook_route(settings=settings, service=service),
            user_routes(settings=settings, service=service),
            *health_routes(settings=settings, service=service),
            *metrics_routes(settings=settings, service=service),
        ]
    )


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    # Imported modules live as long as the process. Freezing them saves 10 ms in each full garbage collection.
    # The higher threshold makes collections rarer: hundreds of events in progress are not garbage yet. If
    # another app mounts this one, this lifespan does not run.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    with contextlib.suppress(SettingsError):  # /readyz logs it
        follow_in_background(service_finder(None, None, WebhookSettings)())
    yield


app = create_app()
app.router.lifespan_context = _lifespan
