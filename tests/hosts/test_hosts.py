"""The routes in common servers and web frameworks: an event is written, a call without a token refused."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from clerk_convex.app import create_app
from clerk_convex.settings import Settings
from tests.support.clerk_events import EVENTS
from tests.support.servers import Server, serve
from tests.support.stand_in import DEPLOY_KEY, StandIn
from tests.webhook.test_route import SECRET, signed

EVENT = EVENTS["user.updated"]
OUR_APP = "clerk_convex.app:app"

SERVERS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn", "--loop=asyncio", "--http=h11", "--port=PORT", OUR_APP),
    "uvicorn, uvloop": ("uvicorn", "--loop=uvloop", "--http=httptools", "--port=PORT", OUR_APP),
    "gunicorn, uvicorn": ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:PORT", OUR_APP),
    "gunicorn": ("gunicorn", "-k", "asgi", "-b", "127.0.0.1:PORT", OUR_APP),
    "hypercorn": ("hypercorn", "-b", "127.0.0.1:PORT", OUR_APP),
    "hypercorn, uvloop": ("hypercorn", "-k", "uvloop", "-b", "127.0.0.1:PORT", OUR_APP),
    "granian": ("granian", "--interface", "asgi", "--port", "PORT", OUR_APP),
    "daphne": ("daphne", "-p", "PORT", OUR_APP),
}


def environ(convex: StandIn) -> dict[str, str]:
    return {
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        "CLERK_SECRET_KEY": "sk_test_" + "x" * 40,
        "CLERK_JWT_ISSUER_DOMAIN": "https://example.clerk.accounts.dev",
        "CONVEX_URL": convex.url,
        "CONVEX_DEPLOY_KEY": DEPLOY_KEY,
    }


def check(client: httpx.Client, convex: StandIn, prefix: str = "", *, merges_slashes: bool = False) -> None:
    """Check paths, methods, bodies, headers and answers, which a host could change."""
    path = prefix + "/webhooks/clerk"
    for end in ("", "/"):
        answer = client.post(path + end, content=EVENT, headers=signed(EVENT))
        assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
    assert [change["clerkId"] for call in convex.mutations for change in call.changes] == ["user_quince"] * 2
    answer = client.post(path, content=EVENT + b" ", headers=signed(EVENT))
    assert (answer.status_code, "two causes are left" in answer.json()["error"]) == (400, True)
    answer = client.post(path, content=EVENT)
    assert (answer.status_code, "no svix-id" in answer.json()["error"]) == (400, True)
    assert client.get(path).status_code == 405
    # The server may close the connection before the body has been sent.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        assert client.post(path, content=b" " * 600_000, headers=signed(EVENT)).status_code == 413
    users = prefix + "/api/users"
    for end in ("", "/", "/user_1", "/user_1/"):
        answer = client.get(users + end)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_token"), end
    unknown = [("DELETE", "/junk/user_1"), ("POST", "/user_1%2Fban")]
    if not merges_slashes:
        unknown += [("GET", "//"), ("GET", "//user_1")]
        assert client.post(path + "//", content=b"", headers=signed(EVENT)).status_code == 404
    for method, end in unknown:
        assert client.request(method, users + end).status_code == 404, end
    answer = client.post(users + "/user_1")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PATCH, DELETE")


def check_end(server: Server) -> None:
    assert server.stop() < 15
    assert "Traceback" not in server.output, server.output
    assert "Exception" not in server.output, server.output


@pytest.mark.parametrize("name", SERVERS)
def test_servers(convex: StandIn, name: str) -> None:
    """Each server serves the app without changes to it, and ends on SIGTERM."""
    with serve(SERVERS[name], environ(convex)) as server:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            check(client, convex)
        check_end(server)


def test_http2(convex: StandIn) -> None:
    """An answer that refuses a body has no `Connection` header on HTTP/2, which forbids it."""
    with serve(SERVERS["hypercorn"], environ(convex)) as server:
        with httpx.Client(timeout=30, trust_env=False, http1=False, http2=True) as client:
            signed_event = client.build_request(
                "POST", f"{server.url}/webhooks/clerk", content=EVENT, headers=signed(EVENT)
            )
            unsigned = client.build_request("POST", f"{server.url}/webhooks/clerk")
            # Without this header the request ends with its headers. Else hypercorn fails with a KeyError of
            # its own if the answer comes before the end.
            del unsigned.headers["Content-Length"]
            for request, status in ((signed_event, 200), (unsigned, 400)):
                answer = client.send(request)
                assert (answer.http_version, answer.status_code) == ("HTTP/2", status)
                assert "connection" not in answer.headers
        check_end(server)


@pytest.mark.parametrize("name", ["fastapi", "litestar", "quart", "quart_dispatched", "django"])
def test_frameworks(convex: StandIn, name: str) -> None:
    """Each framework serves the routes, and still the service's own page."""
    command = ("uvicorn", "--port=PORT", "--lifespan=off", f"tests.support.hosts:app_{name}")
    with serve(command, environ(convex), probe="/") as server:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            assert "the service's own" in client.get("/").text
            check(client, convex, "/v1", merges_slashes=name == "litestar")
        check_end(server)


def test_trio(convex: StandIn) -> None:
    """On trio each route answers that it needs asyncio, and logs it once."""
    command = ("hypercorn", "-k", "trio", "-b", "127.0.0.1:PORT", OUR_APP)
    with serve(command, environ(convex)) as server:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            for _ in range(2):
                answer = client.post("/webhooks/clerk", content=EVENT, headers=signed(EVENT))
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert "clerk_convex needs asyncio" in answer.json()["error"]
                answer = client.get("/api/users")
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "needs_asyncio")
                assert "hypercorn --worker-class asyncio" in answer.json()["error"]["message"]
        assert server.output.count("clerk_convex needs asyncio") == 2
        check_end(server)
    assert not convex.calls


# Mangum: events of AWS Lambda, without a server


def gateway(version: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Return an event of AWS API Gateway for a function: version 1.0 (REST) or 2.0 (HTTP)."""
    event: dict[str, Any] = {
        "version": version,
        "headers": {"host": "service.example.com", **headers},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    if version == "2.0":
        http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}
        more: dict[str, Any] = {
            "rawPath": path,
            "rawQueryString": "",
            "requestContext": {"http": http, "stage": "$default"},
        }
    else:
        more = {
            "path": path,
            "resource": path,
            "httpMethod": method,
            "multiValueHeaders": {name: [value] for name, value in event["headers"].items()},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "requestContext": {"identity": {"sourceIp": "192.0.2.1"}, "resourcePath": path},
        }
    return event | more


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_mangum(convex: StandIn, version: str) -> None:
    """The routes work in AWS Lambda, where the event loop only runs during a request."""
    with ThreadPoolExecutor(1) as threads:  # a thread without pytest's event loop
        threads.submit(run_in_mangum, convex, version).result(60)


def run_in_mangum(convex: StandIn, version: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own deprecation warnings
        from mangum import Mangum
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    handler: Any = Mangum(create_app(Settings.from_env(environ(convex))), lifespan="off")
    try:
        for count in (1, 2):
            event = gateway(version, "POST", "/webhooks/clerk", EVENT, signed(EVENT))
            answer = handler(event, None)
            assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"outcome": "created"})
            assert len(convex.mutations) == count
        event = gateway(version, "POST", "/webhooks/clerk", EVENT + b" ", signed(EVENT))
        assert handler(event, None)["statusCode"] == 400
        for path, status in (("/api/users", 401), ("/api/users/junk/user_1", 404)):
            assert handler(gateway(version, "GET", path, b"", {}), None)["statusCode"] == status
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
