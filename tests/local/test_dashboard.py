from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from clerk_convex.local import dashboard
from clerk_convex.local.dashboard import with_dashboard

pytestmark = pytest.mark.anyio

PLACES = {"convexUrl": "http://127.0.0.1:3210", "clerkUrl": "http://127.0.0.1:4000", "usersModule": "users"}
BUILD: Mapping[str, str] = {
    "index.html": "<!doctype html><title>Users</title>",
    "assets/index-1a2b3c.js": "// script",
    "favicon.svg": "<svg/>",
}


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dashboard, "STATIC", tmp_path / "static")
    return tmp_path / "static"


@pytest.fixture
def built(static: Path) -> Path:
    for name, text in BUILD.items():
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        (static / name).write_text(text)
    return static


async def get(path: str) -> httpx.Response:
    async def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("the service")

    app = with_dashboard(Starlette(routes=[Route("/healthz", health)]), PLACES)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.get(path)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    "path",
    ["/dashboard/", "/dashboard/users", "/dashboard/users/", "/dashboard/any/thing", "/dashboard/assets/x"],
)
async def test_every_page_is_the_same_document(path: str) -> None:
    """A deep link and a reload work: every path that names no file has the document, and it is never
    stale."""
    answer = await get(path)
    assert (answer.status_code, answer.text) == (200, BUILD["index.html"])
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.usefixtures("built")
async def test_files_are_kept_by_the_hash_in_their_name() -> None:
    """Files in assets/ never change and are requested once. Other files are requested again."""
    script = await get("/dashboard/assets/index-1a2b3c.js")
    assert (script.status_code, script.text) == (200, BUILD["assets/index-1a2b3c.js"])
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (await get("/dashboard/favicon.svg")).headers["Cache-Control"] == "no-cache"


@pytest.mark.usefixtures("built")
async def test_a_file_that_is_not_there_is_no_page() -> None:
    """A script of an older build gets a 404 and not HTML. No path leads out of the build."""
    assert (await get("/dashboard/assets/index-old.js")).status_code == 404
    assert (await get("/dashboard/..%2f..%2fpyproject.toml")).status_code == 404


@pytest.mark.usefixtures("built")
async def test_page_may_call_only_its_own_set() -> None:
    """The policy names Convex, its websocket, and Clerk. It allows no inline script and no frame around the
    page."""
    policy = (await get("/dashboard/users")).headers["Content-Security-Policy"]
    assert "default-src 'self';" in policy
    assert "connect-src 'self' http://127.0.0.1:3210 ws://127.0.0.1:3210 http://127.0.0.1:4000;" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_page_gets_the_addresses_of_its_set() -> None:
    """The addresses are not cached, because the next set has others."""
    answer = await get("/dashboard/config.json")
    assert answer.json() == PLACES
    assert answer.headers["Cache-Control"] == "no-store"


async def test_service_is_beside_it() -> None:
    """The service's own routes answer as before. The root leads to the page."""
    assert (await get("/healthz")).text == "the service"
    assert (await get("/nowhere")).status_code == 404
    home = await get("/")
    assert (home.status_code, home.headers["Location"]) == (307, "/dashboard/users")


@pytest.mark.usefixtures("static")
async def test_without_a_build_it_says_what_to_do() -> None:
    """In a checkout without a build."""
    answer = await get("/dashboard/users")
    assert (answer.status_code, answer.text) == (404, "The dashboard has not been built: npm run build")
    assert (await get("/dashboard/assets/index.js")).status_code == 404
