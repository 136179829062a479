"""clerk_convex/health.py in services that mount its routes. tests/test_app.py has all the answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from clerk_convex import health_routes, webhook_route
from clerk_convex.net.routing import NEEDS_ASYNCIO
from clerk_convex.service import Service
from tests.support.stand_in import StandIn
from tests.webhook.test_route import post, request, settings_for

pytestmark = pytest.mark.anyio


async def get(app: ASGIApp, path: str) -> httpx.Response:
    return await request(app, None, path=path, method="GET")


def fastapi(service: Service) -> ASGIApp:
    app = FastAPI()
    routes = [webhook_route(service=service), *health_routes(service=service)]
    app.include_router(APIRouter(routes=routes), prefix="/v1")
    assert not app.openapi()["paths"]
    return app


def starlette(service: Service) -> ASGIApp:
    routes = [webhook_route(service=service), *health_routes(service=service)]
    return Starlette(routes=[Mount("/v1", routes=routes)])


@pytest.mark.parametrize("host", [fastapi, starlette])
async def test_hosts(host: Callable[[Service], ASGIApp], convex: StandIn) -> None:
    """The probes work below a prefix, and tell of the webhook route that shares their service."""
    app = host(Service(settings_for(convex.url)))
    assert (await get(app, "/v1/healthz")).json() == {"status": "ok"}
    assert (await get(app, "/v1/readyz")).json()["convex"] is None
    assert (await post(app, path="/v1/webhooks/clerk")).status_code == 200
    told = (await get(app, "/v1/readyz")).json()
    assert (told["status"], told["convex"]) == ("ready", "ok")
    assert told["last_event_at"] is not None


async def test_settings_alone_find_the_service_of_the_webhook(convex: StandIn) -> None:
    """Routes with equal settings share a service, so the probes see the events of the other route."""
    settings = settings_for(convex.url)
    app = Starlette(routes=[webhook_route(settings=settings), *health_routes(settings=settings)])
    assert (await post(app)).status_code == 200
    assert (await get(app, "/readyz")).json()["convex"] == "ok"


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio(caplog: pytest.LogCaptureFixture) -> None:
    """On trio nothing of the package works: the service is not ready, and the log says why."""
    app = Starlette(routes=health_routes(settings=settings_for()))
    response = await get(app, "/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "not ready")
    assert NEEDS_ASYNCIO in caplog.text
    assert (await get(app, "/healthz")).status_code == 200
