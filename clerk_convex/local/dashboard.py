"""The dashboard, as `npm run build` left it, served to browsers on this machine."""

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
    """Whether there is a dashboard: a wheel has one, a checkout once it was built."""
    return (STATIC / "index.html").is_file()


def with_dashboard(service: ASGIApp, places: Mapping[str, str]) -> Starlette:
    """`service` with the dashboard beside it, under /dashboard.

    `places` is what the page has to know: `convexUrl`, `clerkUrl` and `usersModule`.
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
    """The files of the build; every other path is a page, and index.html's script shows the right one."""

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__(directory=STATIC)
        convex, clerk = places["convexUrl"], places["clerkUrl"]
        policy = {
            "default-src": "'self'",
            "connect-src": f"'self' {convex} {convex.replace('http', 'ws', 1)} {clerk}",
            "img-src": "* data:",  # users' pictures are wherever they are
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
        # A name in assets/ carries the hash of what is in it.
        kept = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        response.headers["Cache-Control"] = kept
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
