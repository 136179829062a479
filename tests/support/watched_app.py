"""clerk_convex.app:app, and when its last event arrived: /readyz tells everyone the hour only."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from clerk_convex.app import app
from clerk_convex.webhook import WebhookRoute

(webhook,) = (route for route in app.routes if isinstance(route, WebhookRoute))


async def last_event_at(request: Request) -> JSONResponse:
    return JSONResponse(webhook.receiver.service.last_event_at)


app.routes.append(Route("/last_event_at", last_event_at))

__all__ = ["app"]
