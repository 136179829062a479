"""clerk_convex/service.py: the objects that routes share, and the routes that share them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette

from clerk_convex import user_routes, webhook_route
from clerk_convex.errors import SettingsError
from clerk_convex.service import Service
from clerk_convex.settings import Settings
from tests.support.stand_in import StandIn
from tests.webhook.test_route import post, settings_for

ADMIN = {"CLERK_SECRET_KEY": "sk_test_" + "0" * 20, "CLERK_JWT_ISSUER_DOMAIN": "http://127.0.0.1:9"}


@pytest.mark.anyio
async def test_routes_with_equal_settings_share_a_service() -> None:
    """Also if the settings are two objects. With other settings it is another service."""
    routes = [webhook_route(settings=settings_for(**ADMIN)), webhook_route(settings=settings_for(**ADMIN))]
    users = user_routes(settings=settings_for(**ADMIN))
    services = [*(route.receiver.service for route in routes), users.manager.service]
    assert [service is services[0] for service in services] == [True] * 3
    assert len({id(service.writer) for service in services}) == 1
    other = webhook_route(settings=settings_for(CONVEX_USERS_MODULE="people"))
    assert other.receiver.service is not services[0]


@pytest.mark.anyio
async def test_routes_share_the_environment_s_service(
    convex: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without settings each route reads the environment with its first request, and not earlier."""
    routes = [webhook_route(), webhook_route("/other")]
    for name, value in settings_for(convex.url).model_dump(exclude_defaults=True).items():
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        monkeypatch.setenv(name.upper(), text if isinstance(text, str) else text[0].get_secret_value())
    app = Starlette(routes=routes)
    assert (await post(app)).status_code == (await post(app, path="/other")).status_code == 200
    assert routes[0].receiver.service is routes[1].receiver.service


def test_a_service_has_settings_of_its_own() -> None:
    with pytest.raises(TypeError, match="either service or settings"):
        webhook_route(service=Service(Settings()), settings=Settings())


def own(user: object) -> dict[str, str]:
    return {"plan": "pro"}


def other(user: object) -> dict[str, str]:
    return {"plan": "free"}


@pytest.mark.anyio
@pytest.mark.parametrize("shared", [False, True])
async def test_all_that_a_service_writes_has_the_columns_of_its_route(convex: StandIn, shared: bool) -> None:
    """Whichever route has the function, and wherever the first request goes."""
    given: dict[str, Any] = {"settings": settings_for(convex.url, **ADMIN)}
    if not shared:
        given = {"service": Service(given["settings"])}
    plain, users = webhook_route(**given), user_routes(**given)
    named = webhook_route("/named", fields=own, **given)
    elsewhere = webhook_route(settings=settings_for(CONVEX_USERS_MODULE="people"), fields=other)
    assert users.manager.service.fields is users.manager._read_fields is own
    assert named.receiver.service is users.manager.service is not elsewhere.receiver.service
    await post(Starlette(routes=[plain]))
    assert convex.mutations[-1].changes[0]["columns"]["plan"] == "pro"


@pytest.mark.parametrize(
    ("setting", "functions", "said"),
    [
        (own, [], []),
        (own, [own, own], []),
        (None, [own, own], ["set CLERK_CONVEX_FIELDS=module:function, too"]),
        (other, [own], ["set CLERK_CONVEX_FIELDS=module:function, too"]),
        (own, [own, other, own, other], ["give all of them the same function"]),
    ],
)
def test_functions_that_differ_are_logged_once(
    setting: Any, functions: list[Any], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The routes of a service, and the setting that commands read."""
    service = Service(Settings(clerk_convex_fields=setting))
    for function in functions:
        webhook_route(service=service, fields=function)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(said)
    assert all(part in message for part, message in zip(said, messages, strict=True))
    assert service.fields is ([setting, *functions][-1])


@pytest.mark.anyio
async def test_missing_settings_are_reported_at_first_use() -> None:
    """A service can be made without any setting."""
    service = Service(Settings())
    assert service.writer_status is None
    for part, names in (
        ("clerk", "CLERK_SECRET_KEY, CONVEX_URL, CONVEX_DEPLOY_KEY"),
        ("writer", "CONVEX_URL, CONVEX_DEPLOY_KEY"),
        ("tokens", "CLERK_SECRET_KEY, CLERK_JWT_ISSUER_DOMAIN, CONVEX_URL, CONVEX_DEPLOY_KEY"),
    ):
        with pytest.raises(SettingsError, match=f": {names}\\."):
            getattr(service, part)
    assert service.limiter is service.limiter
