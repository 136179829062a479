"""clerk_convex/following.py: CLERK_CONVEX_FOLLOW inside a service. No webhook is sent here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from clerk_convex import app as application
from clerk_convex import health_routes, webhook_route
from clerk_convex.backfill.follow import Follower, Pass
from clerk_convex.backfill.report import Pruning
from clerk_convex.following import follow_in_background
from clerk_convex.net.observer import Observer
from clerk_convex.service import Service
from clerk_convex.settings import Settings
from tests.support.functions import Functions
from tests.webhook.test_route import request


def settings_of(functions: Functions, **more: Any) -> Settings:
    assert functions.clerk is not None
    return Settings(
        **{
            "clerk_secret_key": functions.clerk.secret_key,
            "clerk_api_url": functions.clerk.url,
            "clerk_webhook_signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "convex_url": functions.convex.url,
            "convex_deploy_key": functions.convex.deploy_key,
            "clerk_convex_follow": 1.0,
            **more,
        }
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - it is of another process
            await asyncio.sleep(0.02)


def test_a_mounted_service_follows_from_its_first_request_to_the_end_of_the_loop(
    functions: Functions,
) -> None:
    """Without a lifespan and without any webhook. The lease is released."""
    assert functions.clerk is not None
    user_id = functions.clerk.create_user(first_name="Ada")["id"]
    service = Service(settings_of(functions))
    passes: list[dict[str, int]] = []

    class Recorder(Observer):
        def followed(self, outcomes: Mapping[str, int]) -> None:
            passes.append(dict(outcomes))

    service.observer = Recorder()
    app = Starlette(routes=[Mount("/v1", routes=health_routes(service=service))])

    async def run() -> None:
        for _ in range(2):  # the second one starts no second follower
            assert (await request(app, None, path="/v1/readyz", method="GET")).json()["follow_age"] is None
        assert functions.clerk is not None
        await until(lambda: functions.rows().keys() == {user_id})
        await until(lambda: service.last_follow_at is not None)
        ready = (await request(app, None, path="/v1/readyz", method="GET")).json()
        assert 0 <= ready["follow_age"] < 60

    asyncio.run(run())
    assert passes[0] == {"created": 1}
    other = functions.mutation("users:leaseFollow", {"holder": "other", "ms": 1, "pass": None, "created": 0})
    assert other["held"]


def test_a_service_without_the_setting_does_not_follow(functions: Functions) -> None:
    service = Service(settings_of(functions, clerk_convex_follow=None))

    async def run() -> int:
        follow_in_background(service)
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1


def test_troubles_are_logged_and_tried_again(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing key, an error that is no error of ours, and rows that a follower may not remove."""
    caplog.set_level(logging.INFO, "clerk_convex")
    tries: list[int] = []

    async def run(follower: Follower) -> None:
        tries.append(1)
        follower._on_progress.note("Another one.")
        follower._on_pass(Pass({}, False, None))
        follower._on_pass(Pass({}, False, Pruning(20, 11, 0, 10, refused=True)))
        follower._on_age(5.0)
        raise RuntimeError("ada@example.com")

    monkeypatch.setattr(Follower, "run", run)

    async def follow(**more: Any) -> None:
        service = Service(settings_of(functions, clerk_convex_follow=1.0, **more))
        follow_in_background(service)
        await until(lambda: len(tries) == 2 or "CLERK_SECRET_KEY" in caplog.text)

    asyncio.run(follow())
    # Once a minute.
    assert caplog.text.count("is tried again in 1 s: unexpected RuntimeError in run") == 1
    assert "ada@example.com" not in caplog.text
    assert "Following Clerk: Another one." in caplog.text
    assert caplog.text.count("11 are of users that Clerk does not have") == 2
    asyncio.run(follow(clerk_secret_key=None))
    assert "Not set in the environment: CLERK_SECRET_KEY" in caplog.text


@pytest.mark.parametrize("shared", [False, True])
def test_the_follower_fills_the_columns_of_the_route(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """Also if a probe starts it, before the route with the function has had a request."""
    used: list[Any] = []

    async def run(follower: Follower) -> None:
        used.append(follower._session.fields)
        await asyncio.sleep(60)

    monkeypatch.setattr(Follower, "run", run)
    settings = settings_of(functions)
    given: Any = {"settings": settings} if shared else {"service": Service(settings)}

    def own(user: object) -> dict[str, str]:
        return {"plan": "pro"}

    app = Starlette(routes=[*health_routes(**given), webhook_route(fields=own, **given)])

    async def probe() -> None:
        await request(app, None, path="/readyz", method="GET")
        await until(lambda: bool(used))

    asyncio.run(probe())
    assert used == [own]


def test_the_application_follows_from_its_start(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it starts without settings, too."""
    followed: list[Service] = []
    monkeypatch.setattr(application, "follow_in_background", followed.append)
    monkeypatch.setattr("gc.freeze", lambda: None)
    monkeypatch.setattr("gc.set_threshold", lambda *_: None)

    async def start() -> None:
        async with application._lifespan(application.app):
            pass

    monkeypatch.delenv("CONVEX_URL", raising=False)
    asyncio.run(start())
    assert followed == []
    for name, value in {
        "CONVEX_URL": functions.convex.url,
        "CONVEX_DEPLOY_KEY": functions.convex.deploy_key,
        "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }.items():
        monkeypatch.setenv(name, value)
    asyncio.run(start())
    assert len(followed) == 1
