"""The application without settings, with settings, and in a real server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import clerk_convex.app
from benchmarks.ports import free_port
from clerk_convex.app import create_app
from clerk_convex.service import Service, Timeouts
from clerk_convex.settings import Settings
from tests.support import stand_in
from tests.support.clerk_events import EVENTS, USER, body
from tests.support.functions import ROOT
from tests.support.stand_in import DEPLOY_KEY, Behaviour, StandIn
from tests.webhook.test_route import PATH, SECRET, TROUBLE, post, request, signed

EVENT = EVENTS["user.updated"]
NAMES = "CLERK_WEBHOOK_SIGNING_SECRET", "CONVEX_URL", "CONVEX_DEPLOY_KEY"
NOTHING = {"functions": None, "refused": None, "follow_age": None, "last_event_at": None}
WITHOUT_SETTINGS = {
    name: value for name, value in os.environ.items() if not name.startswith(("CLERK_", "CONVEX_"))
}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Starlette:
    """The application before its first request, without any setting."""
    for name in list(os.environ):
        if name.startswith(("CLERK_", "CONVEX_")):
            monkeypatch.delenv(name)
    return create_app()


def environ(url: str) -> dict[str, str]:
    return dict(zip(NAMES, (SECRET, url, DEPLOY_KEY), strict=True))


async def get(app: Starlette, path: str) -> httpx.Response:
    return await request(app, None, path=path, method="GET")


@pytest.mark.anyio
async def test_healthz(app: Starlette) -> None:
    """/healthz answers that the process runs, with any settings."""
    response = await get(app, "/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.anyio
async def test_readyz_without_settings(
    app: Starlette, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """/readyz is 503 while a setting is missing or malformed, and says nothing else. The log has the problem
    once, without a value."""
    off = {"status": "not ready", "user_management": "off", "convex": None, **NOTHING}
    for _ in range(3):
        response = await get(app, "/readyz")
        assert (response.status_code, response.json()) == (503, off)
    webhook, management = (record.getMessage() for record in caplog.records)
    assert webhook.startswith(f"The webhook is off: Not set in the environment: {', '.join(NAMES)}.")
    assert management.startswith("User management is off: Not set in the environment: CLERK_SECRET_KEY, ")

    caplog.clear()
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", "s3cret!")
    for _ in range(3):
        response = await get(app, "/readyz")
        assert (response.status_code, response.json()) == (503, off)
    webhook, management = (record.getMessage() for record in caplog.records)
    assert webhook.startswith("The webhook is off: CLERK_WEBHOOK_SIGNING_SECRET entry 1 does not begin")
    assert management.startswith("User management is off: CLERK_WEBHOOK_SIGNING_SECRET entry 1 does not")
    assert "s3cret" not in caplog.text


@pytest.mark.anyio
async def test_readyz(app: Starlette, convex: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """/readyz is 200 with valid settings, also while Convex is down. Its body has the state of the parts, but
    neither the exact time of an event nor the cause of a problem."""
    for name, value in environ(convex.url).items():
        monkeypatch.setenv(name, value)

    async def told() -> object:
        response = await get(app, "/readyz")
        assert response.status_code == 200
        return response.json()

    ready = {"status": "ready", "user_management": "off", "convex": None, **NOTHING}
    convex.about = stand_in.hang
    assert await told() == ready

    before = time.time()
    assert (await post(app)).status_code == 200
    answer = await told()
    assert answer in [
        ready | {"convex": "ok", "last_event_at": moment // 3600 * 3600} for moment in (before, time.time())
    ]
    ready["last_event_at"] = answer["last_event_at"]

    convex.behave(then=stand_in.status(401))
    assert (await post(app, body("user.updated", USER))).status_code == 503
    assert await told() == ready | {"convex": "failing"}
    convex.behave(then=stand_in.sync())
    assert (await post(app, body("user.updated", USER))).status_code == 200
    assert await told() == ready | {"convex": "ok"}
    convex.behave(then=stand_in.sync(refuse=lambda change: change["clerkId"].startswith("user_bad")))
    both = [body("user.updated", USER | {"id": f"user_bad{number}"}) for number in range(2)]
    responses = await asyncio.gather(*(post(app, event) for event in both))
    assert [response.status_code for response in responses] == [502, 502]
    assert await told() == ready | {"convex": "ok"}, "one user that Convex refuses is no trouble of Convex's"


@pytest.mark.anyio
async def test_readyz_tells_how_many_users_were_refused(convex: StandIn) -> None:
    """The number comes from Convex in the background. The body names nobody."""
    latest = [{"clerkId": "user_1", "reason": "why"}]
    convex.behave(then=stand_in.value({"refusals": {"count": 1.0, "latest": latest}}))
    app = create_app(service=Service(Settings.from_env(environ(convex.url)), timeouts=Timeouts(ledger=0.0)))
    told = [(await get(app, "/readyz")).json()]
    while told[-1]["refused"] is None:
        await asyncio.sleep(0.01)
        told.append((await get(app, "/readyz")).json())
    assert told[-1]["refused"] == 1
    assert "user_1" not in str(told)
    assert [call.path for call in convex.calls] == ["users:status"], "at most once a minute"


@pytest.mark.anyio
async def test_readyz_with_user_management(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its settings user management is ready. Without them it says so, and webhooks still work."""
    for name, value in environ("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    response = await get(app, "/api/users")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_set_up")
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_test_s3cret00000000000000")
    monkeypatch.setenv("CLERK_JWT_ISSUER_DOMAIN", "http://127.0.0.1:9")
    assert (await get(app, "/readyz")).json()["user_management"] == "ready"
    assert (await get(app, "/api/users")).status_code == 401
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    other = create_app(Settings.from_env({**os.environ, "CLERK_CONVEX_REDIS_URL": "redis://host:6379"}))
    told = (await get(other, "/readyz")).json()
    assert (told["status"], told["user_management"]) == ("ready", "off")


# The real server


class Server:
    """`uvicorn clerk_convex.app:app` on a free port."""

    def __init__(self, env: dict[str, str], *options: str, app: str = "clerk_convex.app:app") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            app,
            "--port",
            str(self.port),
            *options,
        ]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=WITHOUT_SETTINGS | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        reader = threading.Thread(target=self._read)
        reader.start()
        self._reader = reader

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.output = self.process.stdout.read()

    def wait_until_up(self) -> None:
        while True:
            assert self.process.poll() is None, self.output
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", timeout=60).status_code == 200:
                    return
            time.sleep(0.05)

    def post(self, content: bytes = EVENT, path: str = PATH) -> httpx.Response:
        return httpx.post(self.url + path, content=content, headers=signed(content), timeout=60)

    def last_event_at(self) -> float | None:
        told: float | None = httpx.get(f"{self.url}/last_event_at", timeout=60).json()
        return told

    def stop(self) -> float:
        """Send SIGTERM, and return the seconds until the server ended."""
        started = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return time.monotonic() - started


@contextlib.contextmanager
def serve(env: dict[str, str], *options: str, **more: str) -> Iterator[Server]:
    server = Server(env, *options, **more)
    try:
        server.wait_until_up()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def test_uvicorn_without_settings() -> None:
    """`uvicorn clerk_convex.app:app` starts without any setting. /readyz and the log say what is missing."""
    with serve({}) as server:
        assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503
        assert server.post().status_code == 503
        assert server.post().status_code == 503
        server.stop()
    assert server.process.returncode in {0, -signal.SIGTERM}
    assert "Traceback" not in server.output
    assert server.output.count("The webhook is off: Not set in the environment") == 1
    assert server.output.count("A webhook is answered with 503: Not set in the environment") == 1
    assert all(name in server.output for name in NAMES)


@pytest.mark.anyio
async def test_the_collector_comes_seldom_and_leaves_what_is_imported_alone() -> None:
    """To walk all of it takes time in which nothing is answered. It is so in the process of our own app only:
    a service that mounts the route has a collector of its own."""
    before = gc.get_threshold(), gc.get_freeze_count()
    try:
        for other in (create_app(), Starlette(routes=[Mount("/a", clerk_convex.app.app)])):
            async with other.router.lifespan_context(other):
                assert (gc.get_threshold(), gc.get_freeze_count()) == before
        async with clerk_convex.app.app.router.lifespan_context(clerk_convex.app.app):
            assert gc.get_threshold() > before[0]
            assert gc.get_freeze_count() > before[1] + 10_000
    finally:
        gc.set_threshold(*before[0])
        gc.unfreeze()


def test_uvicorn_with_several_workers(convex: StandIn) -> None:
    """Several worker processes accept events concurrently, each with connections of its own."""
    with (
        serve(environ(convex.url), "--workers", "2", "--lifespan", "off") as server,
        ThreadPoolExecutor(8) as threads,
    ):
        contents = [body("user.updated", USER | {"id": f"user_{number}"}) for number in range(40)]
        assert {response.status_code for response in threads.map(server.post, contents)} == {200}
    assert sorted(change["clerkId"] for call in convex.mutations for change in call.changes) == sorted(
        f"user_{number}" for number in range(40)
    )


def test_real_server_refuses_large_bodies() -> None:
    """Through a real server too: 413 before all of the body is sent, 400 where the headers of a signature are
    missing, and 405 for other methods."""

    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65536

    with serve(environ("http://127.0.0.1:9")) as server:
        for headers, status in ((signed(EVENT), 413), ({}, 400)):
            with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                answer = httpx.post(server.url + PATH, content=endless(), headers=headers, timeout=60)
                assert answer.status_code == status
        assert server.post(b" " * 600_000, PATH + "/").status_code == 413
        response = httpx.get(server.url + PATH, timeout=60)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            head = "".join(f"{name}: {value}\r\n" for name, value in signed(EVENT).items())
            raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 9000\r\n\r\nhalf".encode())
        assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        server.stop()
    assert "Traceback" not in server.output


def test_sigterm_while_convex_is_in_trouble() -> None:
    """In every kind of trouble of Convex, each event is answered within the 15 s that Svix waits, and SIGTERM
    ends the process soon after the last answer."""

    def run(name: str, behaviour: Behaviour | str) -> None:
        with StandIn() as convex:
            if isinstance(behaviour, str):
                convex.stop()
            else:
                convex.behave(then=behaviour)
            with (
                serve(environ(convex.url), app="tests.support.watched_app:app") as server,
                ThreadPoolExecutor(4) as threads,
            ):
                answers = []
                for _ in range(4):
                    before = server.last_event_at()
                    answers.append(threads.submit(server.post))
                    while server.last_event_at() == before:
                        time.sleep(0.05)
                assert server.stop() < 20
                for answer in answers:
                    assert answer.result().status_code == (200 if name == "slow" else 503)
                    assert answer.result().elapsed.total_seconds() < 15
            assert "Traceback" not in server.output

    with ThreadPoolExecutor(9) as threads:  # more would slow each other down
        for result in [threads.submit(run, *trouble) for trouble in TROUBLE.items()]:
            result.result()
