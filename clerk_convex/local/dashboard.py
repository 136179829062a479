"""Serve the built dashboard (`npm run build`) to browsers on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

__all__ = ["PAGE_PATH", "STATIC", "is_built", "with_dashboard"]

PAGE_PATH = "/dashboard/users"
STATIC = Path(__file__).parent / "static"


def is_built() -> bool:
    """Return whether the dashboard was built. A wheel contains it; a checkout needs `npm run build`."""
    return (STATIC / "index.html").is_file()


def with_dashboard(service: ASGIApp, places: Mapping[str, str]) -> Starlette:
    """Return an application that serves the dashboard under /dashboard and passes all else to `service`.

    `places` is the page's configuration: `convexUrl`, `clerkUrl` and `usersModule`.
    """

    async def config(request: Request) -> JSONResponse:
        return JSONResponse(dict(places), headers={"Cache-Control": "no-store"})

    async def home(request: Request) -> RedirectResponse:
        return RedirectResponse(PAGE_PATH)

    not_built = PlainTextResponse("The dashboard has not been built: npm run build", 404)
    pages = _Pages(places) if is_built() else not_built
    routes = [
        Route("/", home),
        Route("/dashboard/config.json", config),
        Mount("/dashboard", pages),
        Mount("/", service),
    ]
    return Starlette(routes=routes)


class _Pages(StaticFiles):
    """Serve the files of the build. A path without a suffix is a page: index.html's script shows it."""

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__(directory=STATIC)
        convex, clerk = places["convexUrl"], places["clerkUrl"]
        policy = {
            "default-src": "'self'",
            "connect-src": f"'self' {convex} {convex.replace('http', 'ws', 1)} {clerk}",
            "img-src": "* data:",  # users' pictures can be on any host
            "base-uri": "'none'",
            "object-src": "'none'",
            "form-action": f"'self' {clerk}",
            "frame-ancestors": "'none'",
        }
        self._policy = "; ".join(f"{name} {sources}" for name, sources in policy.items())

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not Path(path).suffix:
            path = "index.html"
        response = await super().get_response(path, scope)
        # Vite puts a hash of the content into each name in assets/, so a file there never changes.
        caching = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        response.headers["Cache-Control"] = caching
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
