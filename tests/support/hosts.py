"""Services in several web frameworks that mount the routes, each created when a server first loads it.

    uvicorn tests.support.hosts:app_litestar

`/` is a page of the service itself. The routes read their settings from the environment.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex import user_routes, webhook_route

HOME = "the service's own"


def fastapi() -> ASGIApp:
    """Include the routes with a FastAPI router."""
    from fastapi import APIRouter, FastAPI

    app = FastAPI()
    app.include_router(APIRouter(routes=[webhook_route(), user_routes()]), prefix="/v1")

    @app.get("/")
    async def home() -> str:
        return HOME

    return app


def litestar() -> ASGIApp:
    """Mount the routes in Litestar as an ASGI application."""
    from litestar import Litestar, asgi, get

    ours = Starlette(routes=[webhook_route(), user_routes()])

    @asgi("/v1", is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await ours(scope, receive, send)

    @get("/", sync_to_thread=False)
    def home() -> str:
        return HOME

    app: Any = Litestar([mounted, home])  # Litestar declares ASGI types of its own
    return app  # type: ignore[no-any-return]


def quart() -> ASGIApp:
    """Serve the routes before Quart, which gets all other paths."""
    from quart import Quart

    app: Any = Quart(__name__)

    @app.get("/")  # type: ignore[untyped-decorator]
    async def home() -> str:
        return HOME

    return Starlette(
        routes=[webhook_route("/v1/webhooks/clerk"), user_routes("/v1/api/users"), Mount("/", app)]
    )


def quart_dispatched() -> ASGIApp:
    """Serve the routes beside Quart with Hypercorn's dispatcher."""
    from hypercorn.middleware import DispatcherMiddleware
    from quart import Quart

    app = Quart(__name__)

    @app.get("/")
    async def home() -> str:
        return HOME

    ours: Any = Starlette(routes=[webhook_route(), user_routes()])
    both: Any = DispatcherMiddleware({"/v1": ours, "": app})
    return both  # type: ignore[no-any-return]


def django() -> ASGIApp:
    """Serve the routes before Django, which gets all other paths."""
    from django.conf import settings  # type: ignore[import-untyped]
    from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]
    from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
    from django.urls import path  # type: ignore[import-untyped]

    def home(request: HttpRequest) -> HttpResponse:
        return HttpResponse(HOME)

    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(path("", home),), SECRET_KEY="of a test")
    app = get_asgi_application()
    return Starlette(
        routes=[webhook_route("/v1/webhooks/clerk"), user_routes("/v1/api/users"), Mount("/", app)]
    )


FRAMEWORKS: dict[str, Callable[[], ASGIApp]] = {
    made.__name__: made for made in (fastapi, litestar, quart, quart_dispatched, django)
}


@functools.cache
def make(name: str) -> ASGIApp:
    return FRAMEWORKS[name]()


def __getattr__(name: str) -> ASGIApp:
    if name.startswith("app_"):
        return make(name.removeprefix("app_"))
    raise AttributeError(name)
