"""Common middleware around the routes does not change the answers to events and calls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_exporter import PrometheusMiddleware

from clerk_convex import user_routes, webhook_route
from clerk_convex.webhook import route as webhook
from tests.admin.test_routes import ROUTES
from tests.support.clerk_events import EVENTS
from tests.support.managed import Managed
from tests.support.stand_in import StandIn
from tests.webhook.test_route import post, request, settings_for, signed

pytestmark = pytest.mark.anyio

EVENT = EVENTS["user.updated"]


class ReadsTheBody(BaseHTTPMiddleware):
    """Read each body and pass the request on, as middleware for logs or metrics does."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        await request.body()
        return await call_next(request)


class NamesTheEndpoint:
    """Read the name of the endpoint in each way that middleware for metrics does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
        if scope["type"] == "http":
            endpoint = scope["endpoint"]
            assert endpoint.__module__.startswith("clerk_convex.")
            assert endpoint.__name__ == endpoint.__qualname__ in {"clerk_webhook", "clerk_users"}
            assert repr(endpoint)
            assert hash(endpoint)


def slowapi(app: Starlette, middleware: Any) -> ASGIApp:
    app.state.limiter = Limiter(key_func=get_remote_address, default_limits=["1000/minute"])
    app.add_middleware(middleware)
    return app


def adds(middleware: Any, **options: object) -> Callable[[Starlette], ASGIApp]:
    def add(app: Starlette) -> ASGIApp:
        app.add_middleware(middleware, **options)
        return app

    return add


spans = InMemorySpanExporter()
tracing = TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(spans))


def opentelemetry(app: Starlette) -> ASGIApp:
    if isinstance(app, FastAPI):
        FastAPIInstrumentor.instrument_app(app, tracer_provider=tracing)
    else:
        StarletteInstrumentor.instrument_app(app, tracer_provider=tracing)
    return app


def prometheus(app: Starlette) -> ASGIApp:
    Instrumentator(registry=CollectorRegistry()).instrument(app)
    return app


def exporter(app: Starlette) -> ASGIApp:
    app.add_middleware(PrometheusMiddleware, group_paths=True, skip_methods=[])
    return app


MIDDLEWARE: dict[str, Callable[[Starlette], ASGIApp]] = {
    "slowapi": lambda app: slowapi(app, SlowAPIMiddleware),
    "slowapi, pure ASGI": lambda app: slowapi(app, SlowAPIASGIMiddleware),
    "OpenTelemetry": opentelemetry,
    "OpenTelemetry, ASGI": lambda app: OpenTelemetryMiddleware(app, tracer_provider=tracing),
    "prometheus-fastapi-instrumentator": prometheus,
    "starlette-exporter": exporter,
    "gzip": adds(GZipMiddleware, minimum_size=1),
    "CORS": adds(CORSMiddleware, allow_origins=["*"]),
    "trusted hosts": adds(TrustedHostMiddleware, allowed_hosts=["testserver"]),
    "body limit": adds(RequestBodyLimitMiddleware, max_body_size=600_000),
    "reads the body": adds(ReadsTheBody),
    "reads the body twice": lambda app: adds(ReadsTheBody)(adds(ReadsTheBody)(app)),  # type: ignore[arg-type]
    "names the endpoint": adds(NamesTheEndpoint),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the packages themselves
@pytest.mark.parametrize("framework", ["Starlette", "FastAPI, include_router"])
@pytest.mark.parametrize("name", MIDDLEWARE)
async def test_events_and_calls(convex: StandIn, managed: Managed, name: str, framework: str) -> None:
    """A signed event is written, an event with a wrong signature is not, and an admin's calls succeed."""
    routes = [webhook_route(settings=settings_for(convex.url)), user_routes(settings=managed.settings())]
    inner = Starlette(routes=routes)
    if framework != "Starlette":
        inner = FastAPI()
        inner.include_router(APIRouter(routes=[*routes]), prefix="")
    app = MIDDLEWARE[name](inner)

    assert (await post(app)).json() == {"outcome": "created"}
    answer = await request(app, EVENT, signed(EVENT) | {"svix-id": "msg_other"})
    assert answer.status_code == 400
    assert "two causes are left" in answer.json()["error"]
    assert len(convex.mutations) == 1

    headers = {"Authorization": f"Bearer {managed.token(managed.ada)}", "Host": "testserver"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        for route in ("list", "create", "update", "ban"):
            method, path, body = ROUTES[route]
            url = "http://testserver/api/users" + path.format(user=managed.eve)
            answer = await client.request(method, url, json=body)
            assert answer.status_code == (201 if route == "create" else 200), answer.text
    managed.assert_equal()


async def test_spans() -> None:
    """The name of a span contains the route, not a user's path."""
    spans.clear()
    app = opentelemetry(Starlette(routes=[user_routes(settings=settings_for())]))
    await request(app, None, path="/api/users/user_1", method="GET")
    await post(opentelemetry(Starlette(routes=[webhook_route(settings=settings_for())])), b"{}")
    names = {span.name for span in spans.get_finished_spans()}
    assert "POST /webhooks/clerk{clerk_path:clerk_slashes}" in names
    assert "GET /api/users{clerk_path:clerk_below}" in names
    assert not any("user_1" in name for name in names)


async def test_counters() -> None:
    """The paths of all users share one label."""
    app = exporter(Starlette(routes=[user_routes(settings=settings_for())]))
    for number in range(3):
        await request(app, None, path=f"/api/users/user_{number}", method="GET")
    labels = {
        sample.labels.get("path", "")
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if metric.name.startswith("starlette_requests")
    }
    assert not any("user_1" in label for label in labels)


# Middleware that breaks requests


async def eats(scope: Scope, receive: Receive, send: Send, app: ASGIApp, then: Message | None) -> None:
    """Read the body, and pass the message `then` on in its place, or nothing."""
    while (await receive()).get("more_body"):
        pass
    messages = [] if then is None else [then]

    async def pass_on() -> Message:
        return messages.pop() if messages else await receive()

    await app(scope, pass_on, send)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is empty. Perhaps a proxy or middleware in front has read it"),
        (json.dumps(json.loads(EVENT), indent=1).encode(), "the body is not as long as Content-Length says"),
    ],
)
async def test_bodies_that_were_eaten_or_changed(convex: StandIn, body: bytes, told: str) -> None:
    """The answer names middleware that empties or rewrites the body as the cause."""
    inner = Starlette(routes=[webhook_route(settings=settings_for(convex.url))])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await eats(scope, receive, send, inner, {"type": "http.request", "body": body, "more_body": False})

    answer = await post(app)
    assert answer.status_code == 400
    assert told in answer.json()["error"]
    assert not convex.calls


async def test_bodies_that_never_come(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer and the log name middleware that reads the body and passes nothing on."""
    monkeypatch.setattr(webhook, "_SLOWEST_BODY", 0.1)
    inner = Starlette(routes=[webhook_route(settings=settings_for())])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await eats(scope, receive, send, inner, None)

    answer = await post(app)
    assert answer.status_code == 408
    assert "a middleware in front has read it and not passed it on" in answer.json()["error"]
    assert caplog.messages == [f"A webhook is answered with 408: {answer.json()['error']}"]


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_host_with_a_smaller_limit(managed: Managed, says_so: bool) -> None:
    """If the host's own limit for bodies is smaller, its 413 is the answer."""
    routes = [webhook_route(settings=settings_for()), user_routes(settings=managed.settings())]
    app = RequestBodyLimitMiddleware(Starlette(routes=routes), max_body_size=10)

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [item for item in scope["headers"] if says_so or item[0] != b"content-length"]
        await app({**scope, "headers": headers}, receive, send)

    assert (await request(silent, EVENT, signed(EVENT))).status_code == 413
    headers = {"Authorization": f"Bearer {managed.token(managed.ada)}"}
    body = json.dumps({"first_name": "Eva"}).encode()
    answer = await request(silent, body, headers, f"/api/users/{managed.eve}", "PATCH")
    assert answer.status_code == 413


SENTRY = """
import asyncio, json, sys, warnings
import sentry_sdk
from sentry_sdk.transport import Transport

class Kept(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            sent.append(item.get_bytes().decode())

sent = []
sentry_sdk.init(
    "http://key@127.0.0.1:9/1", transport=Kept, traces_sample_rate=1.0, send_default_pii=True,
    max_request_body_size="always",
)
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from clerk_convex import user_routes, webhook_route
from tests.webhook.test_route import EVENT, post, request, settings_for

def fail(change, outcome):
    raise RuntimeError

settings = settings_for(sys.argv[1])
included = FastAPI()
included.include_router(APIRouter(routes=[webhook_route(settings=settings), user_routes(settings=settings)]))

async def main():
    for app in (Starlette(routes=included.routes[-1].original_router.routes), included):
        assert (await post(app)).json() == {"outcome": "created"}
        answer = await request(app, None, path="/api/users", method="GET")
        assert answer.json()["error"]["code"] == "not_set_up"
    broken = Starlette(routes=[webhook_route(settings=settings, on_change=fail)])
    assert (await post(broken)).status_code == 200

asyncio.run(main())
sentry_sdk.flush()
print(json.dumps(sent))
"""


def test_sentry(convex: StandIn) -> None:
    """Sentry changes no answer, and it does not get the body of a webhook, which is personal data."""
    run = subprocess.run(
        [sys.executable, "-c", SENTRY, convex.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    sent = json.loads(run.stdout)
    assert len(sent) >= 4
    everything = "\n".join(sent)
    assert "/webhooks/clerk" in everything
    assert "on_change did not succeed" in everything
    for told in ("quince", "Quitterie", "user_quince"):
        assert told not in everything
