"""clerk_convex/metrics.py: what /metrics answers, to whom, and what is counted."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from fastapi import APIRouter, FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from clerk_convex import metrics_routes, webhook_route
from clerk_convex.admin.routes import user_routes
from clerk_convex.app import create_app
from clerk_convex.backfill.session import Session
from clerk_convex.clerk.api import Clerk
from clerk_convex.convex.client import Deployment
from clerk_convex.convex.writer import Writer, WriterLimits
from clerk_convex.entities.changes import OUTCOMES, SOURCES, Delete
from clerk_convex.errors import ClerkConvexError, ClerkError, DeploymentError, QueueFull
from clerk_convex.net.observer import Observer, SyncState
from clerk_convex.net.prometheus import LABELS, Metrics
from clerk_convex.net.routing import NEEDS_ASYNCIO
from clerk_convex.service import Service, Timeouts
from clerk_convex.settings import Settings
from tests.support import stand_in
from tests.support.clerk_events import EVENTS, USER, body
from tests.support.functions import ROOT
from tests.support.stand_in import DEPLOY_KEY, StandIn
from tests.webhook.test_route import post, request, settings_for, until

pytestmark = pytest.mark.anyio

TOKEN = "0123456789abcdef0123456789abcdef"
NOWHERE = "http://127.0.0.1:9"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def service_for(url: str = NOWHERE, **more: str) -> Service:
    settings = settings_for(url, CLERK_CONVEX_METRICS_TOKEN=TOKEN, **more)
    write = 0.3 if url == NOWHERE else 20.0  # seconds
    return Service(settings, timeouts=Timeouts(write=write, ledger=0.0))


async def get(app: ASGIApp, path: str = "/metrics", token: str | None = TOKEN) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await request(app, None, headers, path=path, method="GET")


def parse(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(metrics: Metrics | None, name: str, **labels: str) -> float:
    assert metrics is not None
    return parse(metrics.render().decode()).get((f"clerk_convex_{name}", frozenset(labels.items())), 0.0)


# The route


async def test_off_without_a_token(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is public by accident: without a token the route is not there, and nothing is counted. The log
    says once how to turn it on."""
    service = Service(settings_for())
    app = create_app(service=service)
    for _ in range(2):
        response = await get(app)
        assert (response.status_code, response.json()) == (404, {"error": "There is nothing here."})
    assert caplog.messages == ["GET /metrics answers 404: CLERK_CONVEX_METRICS_TOKEN is not set."]
    assert type(service.observer) is Observer
    assert service.metrics is None


@pytest.mark.parametrize(
    "given", [None, b"Bearer ", f"Basic {TOKEN}".encode(), f"Bearer {TOKEN}0".encode(), "Bearer é".encode()]
)
async def test_callers_without_the_token(given: bytes | None) -> None:
    """They are told what to send, and nothing else."""
    headers = {} if given is None else {b"Authorization": given}
    response = await request(create_app(service=service_for()), None, headers, path="/metrics", method="GET")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "clerk_convex_" not in response.text
    assert TOKEN not in response.text


async def test_format() -> None:
    """The answer is in the text format of Prometheus, and all kinds are there before they happen."""
    response = await get(create_app(service=service_for()))
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    found = parse(response.text)
    for name, label, values in (
        ("webhook_answers_total", "status", "status"),
        ("convex_errors_total", "kind", "convex"),
        ("clerk_errors_total", "kind", "clerk"),
        ("limits_hit_total", "limit", "limit"),
        ("refused_changes_total", "source", "source"),
        ("drift_users", "kind", "drift"),
    ):
        for value in LABELS[values]:
            assert found[f"clerk_convex_{name}", frozenset({(label, value)})] == 0


def fastapi(service: Service) -> ASGIApp:
    app = FastAPI()
    routes = [webhook_route(service=service), *metrics_routes(service=service)]
    app.include_router(APIRouter(routes=routes), prefix="/v1")
    assert not app.openapi()["paths"]
    return app


def starlette(service: Service) -> ASGIApp:
    routes = [webhook_route(service=service), *metrics_routes(service=service)]
    return Starlette(routes=[Mount("/v1", routes=routes)])


@pytest.mark.parametrize("host", [fastapi, starlette])
async def test_hosts(host: Callable[[Service], ASGIApp], convex: StandIn) -> None:
    """The route works below a prefix, and tells of the webhook route that shares its service."""
    app = host(service_for(convex.url))
    assert (await post(app, path="/v1/webhooks/clerk")).status_code == 200
    found = parse((await get(app, "/v1/metrics")).text)
    assert found["clerk_convex_webhook_answers_total", frozenset({("status", "200")})] == 1


async def test_settings_alone_find_the_service_of_the_webhook(convex: StandIn) -> None:
    """Routes with equal settings share a service, so that the metrics are those of the other route."""
    settings = settings_for(convex.url, CLERK_CONVEX_METRICS_TOKEN=TOKEN)
    app = Starlette(routes=[webhook_route(settings=settings), *metrics_routes(settings=settings)])
    assert (await post(app)).status_code == 200
    found = parse((await get(app)).text)
    assert found["clerk_convex_webhook_answers_total", frozenset({("status", "200")})] == 1


async def test_without_the_package(
    convex: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If prometheus-client is missing, webhooks work all the same, and the log says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "clerk_convex.net.prometheus")
    app = create_app(service=service_for(convex.url))
    assert (await post(app)).status_code == 200
    response = await get(app)
    assert (response.status_code, response.json()) == (
        503,
        {"error": "There are no metrics. The log says why."},
    )
    assert len(caplog.messages) == 2
    assert all("pip install 'clerk-convex[metrics]'" in text for text in caplog.messages)


def test_nothing_is_imported_before_it_is_needed() -> None:
    """A service without metrics does not load prometheus-client."""
    program = """if True:
        import sys
        from clerk_convex import app
        from clerk_convex.service import Service
        Service(app.Settings())
        assert not [name for name in sys.modules if name.startswith("prometheus_client")]"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


async def test_malformed_settings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A weak token is an error that the log has, and the answer does not."""
    monkeypatch.setenv("CLERK_CONVEX_METRICS_TOKEN", "s3cret")
    response = await get(create_app())
    assert response.status_code == 503
    assert "CLERK_CONVEX_METRICS_TOKEN is too weak; make one with: openssl rand -hex 32." in caplog.text
    assert "CLERK" not in response.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio(caplog: pytest.LogCaptureFixture) -> None:
    """On trio nothing of the package works, and the log says why."""
    app = create_app(service=service_for())
    assert (await get(app)).status_code == 503
    assert NEEDS_ASYNCIO in caplog.text
    assert (await post(app)).status_code == 503


async def test_service_without_convex() -> None:
    """The route works with no setting but its own: there is nothing to ask Convex for."""
    service = Service(Settings.from_env({"CLERK_CONVEX_METRICS_TOKEN": TOKEN}))
    assert (await get(Starlette(routes=metrics_routes(service=service)))).status_code == 200


# What is counted


async def test_events(convex: StandIn) -> None:
    """Each verified event is counted by type and outcome; each answer by its status."""
    service = service_for(convex.url)
    app = create_app(service=service)
    convex.behave(then=stand_in.sync(refuse=lambda change: change["clerkId"] == "user_bad"))
    await post(app, EVENTS["user.updated"])
    await post(app, EVENTS["user.updated"])
    await post(app, EVENTS["email.created"])
    await post(app, body("user.created", USER | {"id": None}))
    await post(app, body("user.created", USER | {"id": "user_bad"}))
    await post(app, b"not JSON")
    await request(app, EVENTS["user.updated"])  # not signed
    convex.behave(then=stand_in.status(401))
    await post(app, EVENTS["user.deleted"])
    events = {
        ("user.updated", "created"): 2,
        ("other", "ignored"): 1,
        ("user.created", "unreadable"): 1,
        ("user.created", "refused"): 1,
        ("other", "rejected"): 1,
        ("user.deleted", "failed"): 1,
    }
    assert service.metrics is not None
    found = parse(service.metrics.render().decode())
    assert {
        (dict(labels)["type"], dict(labels)["outcome"]): value
        for (name, labels), value in found.items()
        if name == "clerk_convex_webhook_events_total"
    } == events
    answers = {"200": 3, "400": 2, "422": 1, "502": 1, "503": 1}
    for status in LABELS["status"]:
        assert counted(service.metrics, "webhook_answers_total", status=status) == answers.get(status, 0)
    assert counted(service.metrics, "refused_changes_total", source="webhook") == 1
    assert counted(service.metrics, "last_event_timestamp_seconds") > 1.7e9


async def test_labels_are_bounded() -> None:
    """Whatever is told, a label has one of its fixed values; these cover all outcomes and sources."""
    metrics = Metrics()
    for text in ("user_1", "ada@example.com"):
        metrics.event_seen(text, text)
        metrics.answered(418)
        metrics.change_refused(text)
        metrics.limit_hit(text)
        metrics.followed({text: 2})
    found = metrics.render().decode()
    assert "user_1" not in found
    assert "@" not in found
    assert counted(metrics, "webhook_events_total", type="other", outcome="other") == 2
    assert counted(metrics, "webhook_answers_total", status="other") == 2
    assert counted(metrics, "follow_changes_total", outcome="other") == 4
    assert counted(metrics, "last_follow_timestamp_seconds") > 1.7e9
    assert set(LABELS["outcome"]) >= OUTCOMES
    assert set(LABELS["source"]) >= SOURCES


async def test_batches(convex: StandIn) -> None:
    """The size and duration of mutations that succeed, and at the end nothing in the queue."""
    service = service_for(convex.url)
    await asyncio.gather(
        *(service.writer.submit(Delete(f"user_{number}", 1.0, "webhook")) for number in range(3))
    )
    assert counted(service.metrics, "batch_changes_sum") == 3
    assert counted(service.metrics, "mutation_seconds_count") == 1
    assert counted(service.metrics, "queued_changes") == 0
    assert counted(service.metrics, "mutations_in_flight") == 0


async def test_queue(convex: StandIn) -> None:
    """Changes that wait, mutations in flight, and what the full queue rejects."""
    convex.behave(then=stand_in.hang)
    metrics = Metrics()
    limits = WriterLimits(in_flight=1, queue_size=1)
    writer = Writer(Deployment(convex.url, DEPLOY_KEY, observer=metrics), limits=limits)
    first = asyncio.create_task(writer.submit(Delete("user_1", 1.0, "webhook")))
    await until(lambda: len(convex.calls) > 0)
    with pytest.raises(QueueFull):
        await writer.submit(Delete("user_2", 1.0, "webhook"))
    assert counted(metrics, "limits_hit_total", limit="queue") == 1
    assert counted(metrics, "mutations_in_flight") == 1
    await writer.aclose()
    with pytest.raises(ClerkConvexError):
        await first


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (stand_in.failure(), "refused"),
        (stand_in.status(401), "misconfigured"),
        (stand_in.status(429, "TooManyConcurrentRequests"), "throttled"),
        (stand_in.status(429, "TooManyWrites"), "too_many_writes"),
        (stand_in.status(503, "TooManyWrites"), "too_many_writes"),
        (stand_in.status(503, "OptimisticConcurrencyControlFailure"), "conflict"),
        (stand_in.status(503), "unavailable"),
        (stand_in.drop, "unavailable"),
    ],
)
async def test_errors_of_convex(convex: StandIn, answer: stand_in.Behaviour, kind: str) -> None:
    """Each failed call is counted by its kind; the budget of writes is one of its own."""
    convex.behave(then=answer)
    metrics = Metrics()
    with pytest.raises(DeploymentError):
        await Deployment(convex.url, DEPLOY_KEY, observer=metrics).query("users:status", {})
    for each in LABELS["convex"]:
        assert counted(metrics, "convex_errors_total", kind=each) == (each == kind)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (stand_in.answer(401, {"errors": []}), "misconfigured"),
        (stand_in.answer(404, {"errors": [{"code": "resource_not_found"}]}), "not_found"),
        (stand_in.answer(422, {"errors": [{"code": "form_param_invalid"}]}), "refused"),
        (stand_in.answer(429, {"errors": []}), "throttled"),
        (stand_in.answer(503), "unavailable"),
        (stand_in.drop, "unavailable"),
    ],
)
async def test_errors_of_clerk(convex: StandIn, answer: stand_in.Behaviour, kind: str) -> None:
    """Each failed attempt is counted by its kind."""
    convex.behave(then=answer)
    metrics = Metrics()
    clerk = Clerk("sk_test_" + "0" * 20, convex.url, patience=0.0, observer=metrics)
    with pytest.raises(ClerkError):
        await clerk.get_user("user_1")
    for each in LABELS["clerk"]:
        assert counted(metrics, "clerk_errors_total", kind=each) == (each == kind)


async def test_limits_of_user_management() -> None:
    """A call that a limit rejects is counted by the name of the limit."""
    service = service_for(
        CLERK_SECRET_KEY="sk_test_" + "0" * 20,
        CLERK_JWT_ISSUER_DOMAIN="http://127.0.0.1:9",
        CLERK_CONVEX_ADDRESS_LIMIT="1/hour",
    )
    app = Starlette(routes=[user_routes(service=service)])
    statuses = [(await get(app, "/api/users", None)).status_code for _ in range(2)]
    assert statuses == [401, 429]
    assert counted(service.metrics, "limits_hit_total", limit="addresses") == 1


async def test_state_of_convex(convex: StandIn) -> None:
    """Each scrape asks Convex in the background, at most once a minute, how the synchronization goes."""
    state = {
        "refusals": {"count": 3.0},
        "lastWebhookAt": 1000.0,
        "lastFinishedBackfillAt": 2000.0,
        "lastVerification": {"at": 3000.0, "missing": 4.0, "users": 9.0, "extra": 0.0},
    }
    convex.behave(then=stand_in.value(state))
    service = service_for(convex.url)
    app = create_app(service=service)
    await get(app)
    await until(lambda: counted(service.metrics, "refused_users") == 3)
    await get(app)
    assert [call.path for call in convex.calls] == ["users:status"]
    assert service.ledger.state == SyncState(3, {"missing": 4, "extra": 0}, 1.0, 2.0, 3.0)
    assert counted(service.metrics, "drift_users", kind="missing") == 4
    assert counted(service.metrics, "last_applied_webhook_timestamp_seconds") == 1
    assert counted(service.metrics, "last_backfill_timestamp_seconds") == 2
    assert counted(service.metrics, "last_verification_timestamp_seconds") == 3


def test_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PROMETHEUS_MULTIPROC_DIR each process tells the sum of all."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert Metrics().render() == b"", "it reads the folder"
    program = """if True:
        import os
        from clerk_convex.net.prometheus import Metrics
        metrics = Metrics()
        metrics.answered(200)
        metrics.queued(2, 1)
        if not os.fork():
            metrics.answered(200)
            metrics.queued(3, 1)
            os._exit(0)
        os.wait()
        print(metrics.render().decode())"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert parse(ran.stdout)["clerk_convex_webhook_answers_total", frozenset({("status", "200")})] == 2


async def test_a_backfill_has_no_metrics() -> None:
    """Nobody could read them, and a cron line must not warn that a package is missing."""
    settings = service_for(CLERK_SECRET_KEY="sk_test_" + "0" * 20).settings
    session = Session(settings, concurrency=1, dry_run=True)
    assert type(session.writer.deployment.observer) is type(session.clerk.observer) is Observer


# The alerts and the page


def test_alerts() -> None:
    """The rules are well formed; each metric of an expression is there, with each label and its value."""
    groups = yaml.safe_load((ROOT / "examples/alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} == {
        "ClerkWebhookSilent",
        "ClerkRefusalsGrow",
        "ClerkDriftFound",
        "ConvexBudgetReached",
    }
    found = parse(Metrics().render().decode())
    for rule in rules:
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        metrics = re.findall(r"(clerk_convex_\w+)(?:\{([^}]*)\})?", rule["expr"])
        assert metrics
        for name, selectors in metrics:
            selected = re.findall(r'(\w+)(=~?)"([^"]*)"', selectors)
            for label, operator, text in selected or [("", "", "")]:
                values = text.split("|") if operator == "=~" else [text]
                for value in values:
                    labels = {dict(it).get(label) for metric, it in found if metric == name}
                    assert labels, f"there is no {name}"
                    assert not label or value in labels, f"{name} has no {label}={value}"


def test_page_lists_all_metrics() -> None:
    """docs/guides/metrics.md has each metric with its labels, and nothing else."""
    page = (ROOT / "docs/guides/metrics.md").read_text()
    documented = dict(re.findall(r"^\| `(clerk_convex_\w+)` \| ([^|]*) \|", page, re.MULTILINE))
    metrics = Metrics()
    metrics.event_seen("user.created", "created")
    families = list(text_string_to_metric_families(metrics.render().decode()))
    actual = {}
    for family in families:
        if not family.name.endswith("_created"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            name = family.name + ("_total" if family.type == "counter" else "")
            actual[name] = ", ".join(f"`{label}`" for label in sorted(labels))
    assert documented == actual


# The log


class JsonFormatter(logging.Formatter):
    """The formatter that docs/guides/metrics.md shows."""

    def format(self, record: logging.LogRecord) -> str:
        names = ("event_id", "event_type", "clerk_id", "outcome")
        fields = {name: getattr(record, name) for name in names if hasattr(record, name)}
        return json.dumps({"level": record.levelname, "message": record.getMessage(), **fields})


async def test_log_records(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """Each record about an event has its id, its type, the user's Clerk id and the outcome as attributes."""
    caplog.set_level(logging.INFO, "clerk_convex")
    caplog.handler.setFormatter(JsonFormatter())
    app = create_app(service=service_for(convex.url))
    convex.behave(then=stand_in.sync(refuse=lambda change: change["clerkId"] == "user_bad"))
    await post(app, EVENTS["user.updated"])
    await post(app, body("user.updated", USER | {"id": "user_bad"}))
    await post(app, body("user.deleted", {}))
    await post(app, body("user.created", USER | {"created_at": "s3cret"}))
    await request(app, EVENTS["user.updated"], {"svix-id": "msg_strangers"})
    told = [json.loads(caplog.handler.format(record)) for record in caplog.records]
    quince, bad, nobody = "user_quince", "user_bad", None
    assert [
        (it["level"], it["event_id"], it["event_type"], it["clerk_id"], it["outcome"]) for it in told
    ] == [
        ("INFO", "msg_1", "user.updated", quince, "created"),
        ("ERROR", "msg_1", "user.updated", bad, "refused"),
        ("WARNING", "msg_1", "user.deleted", nobody, "ignored"),
        ("INFO", "msg_1", "user.deleted", nobody, "ignored"),
        ("ERROR", "msg_1", "user.created", quince, "unreadable"),
        ("WARNING", None, None, nobody, "rejected"),
    ]
    assert told[0]["message"] == "Webhook msg_1 of 'user_quince': created"


async def test_log_is_quiet_by_default(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """An event that is applied is a record of level INFO: most services log from WARNING on."""
    await post(create_app(service=service_for(convex.url)), EVENTS["user.updated"])
    assert not caplog.records
