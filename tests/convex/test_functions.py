"""clerk_convex/convex/functions.py: a service knows which version of the functions it talks to."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from clerk_convex import __version__
from clerk_convex.app import create_app
from clerk_convex.convex import functions
from clerk_convex.convex.client import Deployment
from clerk_convex.convex.functions import About, FunctionsCheck, is_newer, read_about
from clerk_convex.service import Service
from tests.support import stand_in
from tests.support.functions import Functions
from tests.support.stand_in import DEPLOY_KEY, Behaviour, StandIn
from tests.test_app import get
from tests.webhook.test_route import post, settings_for, until

pytestmark = pytest.mark.anyio
NOT_THERE = stand_in.failure(
    "Could not find public function for 'users:about'. Did you forget to run `npx convex dev`?"
)


@pytest.fixture(autouse=True)
def _without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_DELAY", 0.01)


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the check see a clock that is `seconds` ahead."""
    monkeypatch.setattr(functions, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + seconds))


def of_version(version: str) -> Behaviour:
    return stand_in.value({"version": version, "columns": ["email"]})


async def test_real_functions_are_of_this_version(functions: Functions) -> None:
    client = Deployment(functions.convex.url, functions.convex.deploy_key)
    about = await read_about(client, "users")
    assert about is not None
    assert about.version == __version__
    assert "email" in about.columns
    assert await read_about(client, "people") is None


@pytest.mark.parametrize(
    ("about", "state", "text"),
    [
        (of_version(__version__), "ok", ""),
        (
            of_version("0.0.9"),
            "older",
            f"of version 0.0.9, and this package is {__version__}. Run clerk-convex init --upgrade in",
        ),
        (of_version("99.1.0"), "newer", "of version 99.1.0, and this package is"),
        (of_version("99.1.0"), "newer", "Upgrade it: pip install -U clerk-convex."),
        (NOT_THERE, "older", f"older than {__version__}, or not those that CONVEX_USERS_MODULE names. Run"),
        (stand_in.value("garbage"), "older", f"older than {__version__}"),
    ],
)
async def test_a_difference_is_logged_once_and_shown(
    convex: StandIn,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    about: Behaviour,
    state: str,
    text: str,
) -> None:
    """With its remedy in the log, and as one word in /readyz, which stays 200. No event fails."""
    convex.about = about
    service = Service(settings_for(convex.url))
    app = create_app(service=service)
    assert (await get(app, "/readyz")).json()["functions"] is None, "it does not wait for Convex"
    await until(lambda: service.functions.state is not None)
    for _ in range(3):
        answer = await get(app, "/readyz")
        assert (answer.status_code, answer.json()["functions"], answer.json()["convex"]) == (200, state, None)
    service.functions.state = None
    pass_time(monkeypatch, 601)
    assert (await post(app)).status_code == 200
    await until(lambda: service.functions.state == state)
    logged = [it.getMessage() for it in caplog.records if it.getMessage().startswith("The functions")]
    assert len(logged) == (state != "ok")
    assert text in "".join(logged)


async def test_an_event_starts_a_check_but_not_each_event(
    convex: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For services that have no /readyz. It comes after the event, and then for ten minutes not again."""
    asked = 0

    async def count(call: stand_in.Call, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await of_version(__version__)(call, writer)

    convex.about = count
    service = Service(settings_for(convex.url))
    app = create_app(service=service)
    for _ in range(3):
        assert (await post(app)).status_code == 200
    await until(lambda: service.functions.state == "ok")
    assert (await post(app)).status_code == 200
    await asyncio.sleep(0.05)
    assert asked == 1
    pass_time(monkeypatch, 601)
    assert (await post(app)).status_code == 200
    await until(lambda: asked == 2)


@pytest.mark.parametrize("about", [stand_in.status(401), stand_in.status(503), stand_in.drop])
async def test_a_check_that_fails_changes_nothing(
    convex: StandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, about: Behaviour
) -> None:
    """The next one is due in a minute."""
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def fail(call: stand_in.Call, writer: asyncio.StreamWriter) -> None:
        loop.call_soon_threadsafe(failed.set)
        await about(call, writer)

    convex.about = fail
    deployment = Deployment(convex.url, DEPLOY_KEY)
    check = FunctionsCheck(lambda: deployment, "users", __version__)
    check.start()
    await failed.wait()
    await until(lambda: not check._tasks)
    assert (check.state, caplog.records) == (None, [])
    convex.about = of_version(__version__)
    check.start()
    pass_time(monkeypatch, 61)
    check.start()
    await until(lambda: check.state == "ok")


async def test_the_answer_is_read(convex: StandIn) -> None:
    convex.about = of_version("1.2.3")
    assert await read_about(Deployment(convex.url, DEPLOY_KEY), "users") == About(
        "1.2.3", frozenset({"email"})
    )


def test_versions_are_compared_by_number() -> None:
    assert is_newer("1.10.0", "1.9.9")
    assert not is_newer("1.9.9", "1.10.0")
    assert not is_newer("1.0.0rc1", "1.0.0")
