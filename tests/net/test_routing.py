"""The routes work in every way in which a framework includes them, and do not affect other routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.datastructures import URLPath
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Mount, NoMatchFound, Route, Router
from starlette.schemas import SchemaGenerator
from starlette.types import ASGIApp, Message

from clerk_convex import user_routes, webhook_route
from clerk_convex.admin import UserRoutes
from clerk_convex.net.routing import NEEDS_ASYNCIO, DoorRoute
from clerk_convex.webhook import WebhookRoute
from tests.admin.test_routes import NEW, ROUTES, error
from tests.support.clerk_events import EVENTS
from tests.support.managed import NOWHERE, Managed
from tests.support.stand_in import StandIn
from tests.webhook.test_route import NOTHING_TO_DO, PATH, request, settings_for, signed

pytestmark = pytest.mark.anyio

Routes = Sequence[DoorRoute]
Take = Callable[[Routes], ASGIApp]


async def other(request: Request) -> PlainTextResponse:
    return PlainTextResponse("other")


OTHERS = (Route("/api/usersand", other), Route("/webhooks/clerks", other), Route("/", other))


def appended(app: Starlette, routes: Sequence[BaseRoute]) -> Starlette:
    app.router.routes.extend(routes)
    return app


def included(app: FastAPI, routes: Routes, *prefixes: str) -> FastAPI:
    """The routes in a router that is included in one further router for each prefix."""
    router = APIRouter(routes=[*routes])
    for prefix in prefixes[1:]:
        outer = APIRouter()
        outer.include_router(router, prefix=prefix)
        router = outer
    app.include_router(router, prefix=prefixes[0])
    return app


def added_to_router(routes: Routes) -> FastAPI:
    router, app = APIRouter(prefix="/v1"), FastAPI()
    for route in routes:
        router.add_route("/v1" + route.path, route.endpoint, methods=list(route.methods or []))
    app.include_router(router)
    return app


def added(app: Starlette, routes: Routes) -> Starlette:
    """Copies of the routes, made of path and endpoint alone."""
    for route in routes:
        app.add_route(route.path, route.endpoint)
    return app


# Ways to include the routes, with the resulting prefix.
WAYS: dict[str, tuple[Take, str]] = {
    "Starlette, routes=": (lambda routes: Starlette(routes=[*routes, *OTHERS]), ""),
    "Starlette, append": (lambda routes: appended(Starlette(routes=OTHERS), routes), ""),
    "Starlette, add_route": (lambda routes: added(Starlette(routes=OTHERS), routes), ""),
    "Router": (lambda routes: Router(routes=[*routes, *OTHERS]), ""),
    "Router without redirects": (lambda routes: Router(routes=[*routes], redirect_slashes=False), ""),
    "Mount, routes=": (lambda routes: Starlette(routes=[Mount("/m", routes=[*routes]), *OTHERS]), "/m"),
    "Mount of an app": (lambda routes: Router([Mount("/m", app=Starlette(routes=[*routes]))]), "/m"),
    "Mount in a Mount": (
        lambda routes: Starlette(routes=[Mount("/{a}", routes=[Mount("/b", routes=[*routes])])]),
        "/x/b",
    ),
    "Mount of nothing": (lambda routes: Starlette(routes=[Mount("/", routes=[*routes])]), ""),
    "Host": (lambda routes: Starlette(routes=[Host("testserver", app=Router([*routes]))]), ""),
    "FastAPI, routes=": (lambda routes: FastAPI(routes=[*routes, *OTHERS]), ""),
    "FastAPI, append": (lambda routes: appended(FastAPI(routes=[*OTHERS]), routes), ""),
    "FastAPI, add_route": (lambda routes: added(FastAPI(), routes), ""),
    "include_router": (lambda routes: included(FastAPI(), routes, ""), ""),
    "include_router, prefix": (lambda routes: included(FastAPI(), routes, "/v1"), "/v1"),
    "include_router, nested": (lambda routes: included(FastAPI(), routes, "/v1", "", "/{team}"), "/v1/x"),
    "include_router, no redirects": (
        lambda routes: included(FastAPI(redirect_slashes=False), routes, "/v1"),
        "/v1",
    ),
    "include_router of copies": (added_to_router, "/v1"),
    "FastAPI, mount": (lambda routes: appended(FastAPI(), [Mount("/m", FastAPI(routes=[*routes]))]), "/m"),
    "include_router in a mount": (
        lambda routes: appended(FastAPI(), [Mount("/m", included(FastAPI(), routes, "/v1"))]),
        "/m/v1",
    ),
}
ways = pytest.mark.parametrize("way", WAYS)

# Suffixes of /api/users that are none of its paths, as written in a URL.
NO_PATHS = [
    "//", "///", "%2F", "/%2F", "%0A", "/junk/{user}", "/{user}/junk", "/{user}/ban/x", "/{user}/ban%0A",
    "/{user}//", "//{user}", "/{user}//ban", "//ban", "//metadata", "/{user}%2Fban", "/{user}%2fmetadata",
    "/ban/{user}", "/{user}/ban/{user}", "/{user}/metadata/x", "/{user}/BAN", "/x/../{user}/x",
    "/{user}/ban;x=1",
]  # fmt: skip


# Each action, and the part of its answer that shows that it had the right target. The deletion comes last.
ANSWERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "list": lambda told: told["total"],
    "create": lambda told: told["user"]["email_addresses"][0]["email_address"],
    "list_sessions": lambda told: told["sessions"],
    "revoke_session": lambda told: told["error"]["code"],
    "revoke_sessions": lambda told: told["revoked"],
    "list_invitations": lambda told: told["invitations"],
    "create_invitation": lambda told: told["invitation"]["email_address"],
    "revoke_invitation": lambda told: told["error"]["code"],
    "delete": lambda told: told["id"],
}
ORDER = sorted(ROUTES, key=lambda route: route == "delete")
CREATED = {"create", "create_invitation"}
UNKNOWN = {"revoke_session", "revoke_invitation"}  # the ids in their bodies


@ways
async def test_every_action(managed: Managed, way: str) -> None:
    """Each call has its effect, every second one with a slash at its end, and is recorded under its name."""
    take, prefix = WAYS[way]
    app = take([user_routes(settings=managed.settings())])
    headers = {"Authorization": f"Bearer {managed.token(managed.ada)}"}
    url = f"http://testserver{prefix}/api/users"
    victim = managed.eve
    expected: dict[str, object] = {
        "list": 3,
        "create": NEW["email_address"],
        "list_sessions": [],
        "revoke_session": "resource_not_found",
        "revoke_sessions": 0,
        "list_invitations": [],
        "create_invitation": "guest@example.com",
        "revoke_invitation": "resource_not_found",
    }
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        for number, route in enumerate(ORDER, [*WAYS].index(way)):
            method, path, body = ROUTES[route]
            slash = "/" * (number % 2)
            answer = await client.request(method, url + path.format(user=victim) + slash, json=body)
            status = 201 if route in CREATED else 404 if route in UNKNOWN else 200
            assert answer.status_code == status, (route, answer.text)
            told = answer.json()
            target = ANSWERS[route](told) if route in ANSWERS else told["user"]["id"]
            assert target == expected.get(route, victim), route
    assert [(row["action"], row["outcome"]) for row in managed.attempts()] == [
        (route, "failed" if route in UNKNOWN else "done") for route in ORDER
    ]
    managed.assert_equal()


@ways
async def test_other_paths(managed: Managed, way: str) -> None:
    """Any other path gets a 404 for every method, never a redirect. Clerk is not called, and nothing is
    recorded."""
    take, prefix = WAYS[way]
    # A call that reached Clerk would get a 502.
    app = take([user_routes(settings=managed.settings(CLERK_API_URL=NOWHERE))])
    headers = {"Authorization": f"Bearer {managed.token(managed.ada)}"}
    before = managed.audit(), managed.state()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        for path in NO_PATHS:
            for method in ("GET", "POST", "PATCH", "DELETE", "PUT"):
                url = f"http://testserver{prefix}/api/users{path.format(user=managed.eve)}"
                answer = await client.request(method, url)
                assert answer.status_code == 404, (method, path, answer.text)
        for method in ("POST", "PUT"):
            answer = await client.request(method, f"http://testserver{prefix}/api/users/{managed.eve}")
            assert (answer.status_code, error(answer)["code"]) == (405, "method_not_allowed")
            assert answer.headers["allow"] == "GET, PATCH, DELETE"
        answer = await client.get(f"http://testserver{prefix}/api/usersand/{managed.eve}")
        assert answer.status_code == 404
    after = managed.state()
    assert (managed.audit(), after) == before


@ways
async def test_webhooks(convex: StandIn, way: str) -> None:
    """They are accepted with and without a slash at the end. Other paths get a 404, never a redirect."""
    take, prefix = WAYS[way]
    app = take([webhook_route(settings=settings_for(convex.url))])
    event = EVENTS["user.updated"]
    for slash in ("", "/"):
        answer = await request(app, event, signed(event), prefix + PATH + slash)
        assert (answer.status_code, answer.text) == (200, '{"outcome":"created"}')
        assert (await request(app, None, path=prefix + PATH + slash, method="GET")).status_code == 405
    assert len(convex.mutations) == 2
    for end in ("//", "///", "/x", "x", "%0A", "/%0A", "/%2F", "/x/", "//x"):
        for method in ("POST", "GET"):
            answer = await request(app, event, signed(event), prefix + PATH + end, method)
            assert answer.status_code == 404, (method, end, answer.text)
    assert len(convex.mutations) == 2


@ways
async def test_both_beside_others(convex: StandIn, way: str) -> None:
    """Both routes work together, and the host's own paths that begin like ours stay the host's."""
    take, prefix = WAYS[way]
    settings = settings_for(convex.url)
    app = take([webhook_route(settings=settings), user_routes(settings=settings)])
    answer = await request(app, NOTHING_TO_DO, signed(NOTHING_TO_DO), prefix + PATH)
    assert answer.json() == {"outcome": "ignored"}
    answer = await request(app, None, path=prefix + "/api/users", method="GET")
    assert (answer.status_code, error(answer)["code"]) == (503, "not_set_up")
    own = [path for path in ("/api/usersand", "/webhooks/clerks") if OTHERS[0] in getattr(app, "routes", [])]
    for path in own:
        assert (await request(app, None, path=path, method="GET")).text == "other"


@pytest.mark.parametrize(
    "take", [lambda routes: Router([*routes]), lambda routes: included(FastAPI(), routes, "")]
)
async def test_at_the_root(convex: StandIn, managed: Managed, take: Take) -> None:
    """Each can be the only route of a host, at "/"."""
    app = take([webhook_route("/", settings=settings_for(convex.url))])
    assert (await request(app, NOTHING_TO_DO, signed(NOTHING_TO_DO), "/")).json() == {"outcome": "ignored"}
    assert (await request(app, NOTHING_TO_DO, signed(NOTHING_TO_DO), "/x")).status_code == 404
    app = take([user_routes("/", settings=managed.settings())])
    headers = {"Authorization": f"Bearer {managed.token(managed.ada)}"}
    assert (await request(app, None, headers, "/", "GET")).json()["total"] == 3
    answer = await request(app, None, headers, f"/{managed.eve}", "GET")
    assert answer.json()["user"]["id"] == managed.eve
    assert (await request(app, None, headers, f"/junk/{managed.eve}", "GET")).status_code == 404


async def test_alone(convex: StandIn, managed: Managed) -> None:
    """A route is an ASGI application to serve or to mount, and so is its endpoint, under any root path."""
    route = user_routes(settings=managed.settings())
    headers = {"Authorization": f"Bearer {managed.token(managed.ada)}"}
    served: list[tuple[ASGIApp, str, str]] = [
        (route, "", "/api/users"),
        (route, "/root", "/root/api/users"),
        (Starlette(routes=[route]), "/root", "/root/api/users"),
        (Starlette(routes=[Mount("/m", route)]), "", "/m/api/users"),
        (Starlette(routes=[Mount("/people", route.endpoint)]), "", "/people"),
        (route.endpoint, "/people", "/people"),
    ]
    for app, root, path in served:
        transport = httpx.ASGITransport(app, root_path=root)
        async with httpx.AsyncClient(transport=transport, headers=headers) as client:
            answer = await client.get(f"http://s{path}/{managed.eve}")
            assert answer.json()["user"]["id"] == managed.eve
            assert (await client.get(f"http://s{path}/")).json()["total"] == 3
            assert (await client.get(f"http://s{path}/junk/x")).status_code == 404
    webhook = webhook_route(settings=settings_for(convex.url))
    for taken, path in ((webhook, "/m" + PATH), (webhook.endpoint, "/m/")):
        app = Starlette(routes=[Mount("/m", taken)])
        assert (await request(app, NOTHING_TO_DO, signed(NOTHING_TO_DO), path)).status_code == 200
        assert (await request(app, NOTHING_TO_DO, signed(NOTHING_TO_DO), path + "/x")).status_code == 404


async def test_a_path_that_the_endpoint_cannot_read(managed: Managed) -> None:
    """Under a pattern of the host's own the endpoint acts on no user."""
    app = Starlette()
    for path in ("/api/users/{rest:path}", "/people/{user_id}"):
        app.add_route(path, user_routes(settings=managed.settings()).endpoint)
    headers = {"Authorization": f"Bearer {managed.token(managed.ada)}"}
    for path in (f"/api/users/{managed.eve}", f"/people/{managed.eve}", "/api/users/"):
        for method in ("GET", "DELETE"):
            answer = await request(app, None, headers, path, method)
            assert (answer.status_code, error(answer)["code"]) == (404, "no_such_path")


async def test_servers_without_a_raw_path(managed: Managed) -> None:
    """A server may leave out the raw path."""
    app = managed.app(CLERK_API_URL=NOWHERE)

    async def without(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "raw_path": None}, receive, send)

    assert (await request(without, None, path="/api/users", method="GET")).status_code == 401


# Names and schemas


@pytest.mark.parametrize(
    ("route", "name", "path"),
    [
        (webhook_route(), "clerk_webhook", "/webhooks/clerk"),
        (webhook_route("/hooks/"), "clerk_webhook", "/hooks"),
        (webhook_route("/"), "clerk_webhook", "/"),
        (user_routes(), "clerk_users", "/api/users"),
        (user_routes("/"), "clerk_users", "/"),
    ],
)
def test_names(route: WebhookRoute | UserRoutes, name: str, path: str) -> None:
    """The path is found by the route's name, in an app too, and the endpoint is named like a function."""
    assert route.url_path_for(name) == URLPath(path)
    assert Starlette(routes=[Mount("/m", routes=[route], name="m")]).url_path_for(f"m:{name}") == f"/m{path}"
    with pytest.raises(NoMatchFound):
        route.url_path_for("other")
    with pytest.raises(NoMatchFound):
        route.url_path_for(name, other="x")
    endpoint = route.endpoint
    assert (endpoint.__name__, endpoint.__qualname__) == (name, name)
    assert endpoint.__module__.startswith("clerk_convex.")
    assert endpoint.__doc__
    assert not route.include_in_schema


def test_path_of_a_user() -> None:
    """The path below the prefix can be made by name too."""
    for route, path in ((user_routes(), "/api/users/user_1/ban"), (user_routes("/"), "/user_1/ban")):
        assert route.url_path_for("clerk_users", clerk_path="/user_1/ban") == path


def test_parameters_in_the_path() -> None:
    """The path may have parameters of the host."""
    route = user_routes("/{team}/users/")
    assert route.url_path_for("clerk_users", team="a") == "/a/users"


def test_schemas() -> None:
    """The routes are in no OpenAPI schema, and do not break one."""
    routes = [webhook_route(), user_routes()]
    for app in (FastAPI(routes=[*routes]), included(FastAPI(), routes, "/v1")):
        assert app.openapi()["paths"] == {}
    schema: Any = SchemaGenerator({"openapi": "3.0.0"}).get_schema([*routes])
    assert schema["paths"] == {}


async def test_websockets_at_a_mounted_endpoint() -> None:
    """A websocket to an endpoint that is mounted without its route is closed."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    for route in (webhook_route(), user_routes()):
        app: Callable[..., Awaitable[None]] = Starlette(routes=[Mount("/m", route.endpoint)])
        await app({"type": "websocket", "path": "/m/", "headers": [], "subprotocols": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"] * 2


# The event loop


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio(caplog: pytest.LogCaptureFixture) -> None:
    """On another event loop than asyncio each route says so, in its answer and once a minute in the log."""
    settings = settings_for()
    app = Starlette(routes=[webhook_route(settings=settings), user_routes(settings=settings)])
    for _ in range(2):
        answer = await request(app, NOTHING_TO_DO, signed(NOTHING_TO_DO))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json() == {"error": NEEDS_ASYNCIO}
        answer = await request(app, None, path="/api/users", method="GET")
        assert (answer.status_code, error(answer)["code"]) == (503, "needs_asyncio")
        assert error(answer)["message"] == NEEDS_ASYNCIO
    assert [NEEDS_ASYNCIO in message for message in caplog.messages] == [True, True]
    assert (await request(app, None, path="/api/users/junk/x", method="GET")).status_code == 404
    assert (await request(app, None, path=PATH + "/x")).status_code == 404
