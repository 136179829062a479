"""User management end to end: a local Clerk, a local Convex, and the routes between them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from clerk_backend_api import Clerk as ClerkSDK
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from clerk_convex import user_routes
from clerk_convex.admin.actions import ACTIONS
from clerk_convex.entities.json import canonical_json
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.service import Service
from tests.local.clerk.test_sdk import sdk
from tests.support import stand_in
from tests.support.managed import NOWHERE, ORIGIN, Managed
from tests.support.stand_in import DEPLOY_KEY, StandIn

pytestmark = pytest.mark.anyio

NEW = {"email_address": "new@example.com", "first_name": "New"}
ROUTES: dict[str, tuple[str, str, Any]] = {
    "list": ("GET", "", None),
    "create": ("POST", "", NEW),
    "get": ("GET", "/{user}", None),
    "update": ("PATCH", "/{user}", {"first_name": "Eva"}),
    "update_metadata": ("PATCH", "/{user}/metadata", {"public_metadata": {"role": "editor"}}),
    "ban": ("POST", "/{user}/ban", None),
    "unban": ("POST", "/{user}/unban", None),
    "lock": ("POST", "/{user}/lock", None),
    "unlock": ("POST", "/{user}/unlock", None),
    "delete": ("DELETE", "/{user}", None),
    "sync": ("POST", "/{user}/sync", None),
    "list_sessions": ("GET", "/{user}/sessions", None),
    "revoke_session": ("POST", "/{user}/sessions/revoke", {"session_id": "sess_1"}),
    "revoke_sessions": ("POST", "/{user}/sessions/revoke_all", None),
    "list_invitations": ("GET", "/invitations", None),
    "create_invitation": ("POST", "/invitations", {"email_address": "guest@example.com"}),
    "revoke_invitation": ("POST", "/invitations/revoke", {"invitation_id": "inv_1"}),
}
READS = {"list", "get", "list_sessions", "list_invitations"}
WITHOUT_USER = {"list", "create", "list_invitations", "create_invitation", "revoke_invitation"}
# These change no row.
ONLY_AT_CLERK = {"revoke_session", "revoke_sessions", "create_invitation", "revoke_invitation"}
# The status and code of each caller, for every action.
CALLERS = {
    "no_token": (401, "no_token"),
    "garbage": (401, "invalid_token"),
    "expired": (401, "expired_token"),
    "other_issuer": (401, "wrong_issuer"),
    "other_instance": (401, "invalid_token"),
    "wrong_azp": (401, "wrong_party"),
    "pending": (401, "pending_session"),
    "ordinary_user": (403, "not_admin"),
    "banned_admin": (403, "not_active"),
    "demoted_admin": (403, "not_admin"),
    "deleted_admin": (403, "deleted"),
    "not_synced": (403, "not_synced"),
}


async def call(client: httpx.AsyncClient, route: str, user: str, **options: Any) -> httpx.Response:
    method, path, body = ROUTES[route]
    return await client.request(method, path.format(user=user), json=body, **options)


def error(response: httpx.Response) -> dict[str, Any]:
    """Return the error in an answer, after a check of its form."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert list(body) == ["error"]
    told: dict[str, Any] = body["error"]
    assert told["request_id"].startswith(response.headers["x-request-id"])
    assert isinstance(told["message"], str)
    assert "\n" not in told["message"]
    if "retry_after" in told:
        assert response.headers["retry-after"] == str(told["retry_after"])
    return told


# Permission


def token_of(managed: Managed, caller: str) -> str | None:
    clerk, grace = managed.clerk, managed.grace
    match caller:
        case "no_token":
            return None
        case "garbage":
            return "garbage"
        case "expired":
            return managed.token(managed.ada, lifetime=-60)
        case "other_issuer":
            return managed.token(managed.ada, claims={"iss": "https://other.clerk.accounts.dev"})
        case "other_instance":
            other = ClerkInstance()
            user = other.create_user(id=managed.ada, public_metadata={"role": "admin"})
            session = other.sign_in(user["id"])
            return other.session_token(session["id"], azp=ORIGIN, claims={"iss": clerk.issuer})
        case "wrong_azp":
            return managed.token(managed.ada, azp="https://evil.example.com")
        case "pending":
            return managed.token(managed.ada, claims={"sts": "pending"})
        case "ordinary_user":
            return managed.token(managed.eve)
        case "not_synced":
            return managed.token(clerk.create_user(public_metadata={"role": "admin"})["id"])
        case "admin":
            return managed.token(managed.ada)
    token = managed.token(grace)
    match caller:
        case "banned_admin":
            clerk.ban(grace)
        case "demoted_admin":
            clerk.update_metadata(grace, public_metadata={"role": "user"})
        case "deleted_admin":
            managed.functions.mutation("users:deleteUser", {"clerkId": grace})
            return token
    managed.sync(grace)
    return token


def test_the_routes_above_are_all() -> None:
    """In the order of the table of actions."""
    assert {name: (method, path.format(user="{id}")) for name, (method, path, _) in ROUTES.items()} == {
        action.name: (action.method, action.path) for action in ACTIONS
    }


@pytest.mark.parametrize("caller", CALLERS)
async def test_callers_who_are_no_active_admin(managed: Managed, caller: str) -> None:
    """They get this status and code for each route. Clerk is not called, and Convex has no change."""
    token = token_of(managed, caller)
    before = managed.state()
    # A call that reached Clerk would get a 502.
    app = managed.app(CLERK_API_URL=NOWHERE)
    async with managed.client(app, token) as client:
        for route in ROUTES:
            response = await call(client, route, managed.eve)
            assert (response.status_code, error(response)["code"]) == CALLERS[caller], route
            if response.status_code == 401:
                assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert managed.state() == before
    if caller not in {"banned_admin", "demoted_admin", "deleted_admin"}:  # these callers have rows
        attempts = [(row["action"], row["outcome"], row["reason"]) for row in managed.attempts()]
        denied = [(route, "denied", CALLERS[caller][1]) for route in ROUTES]
        assert attempts == (denied if response.status_code == 403 else [])


@pytest.mark.parametrize("route", sorted(ROUTES.keys() - {"revoke_session", "revoke_invitation"}))
async def test_admin_is_allowed(managed: Managed, route: str) -> None:
    """An admin's call is done at Clerk, written to Convex before the answer, and recorded."""
    async with managed.as_admin() as client:
        response = await call(client, route, managed.eve, headers={"X-Request-Id": "my-request.1"})
        assert response.status_code == (201 if route.startswith("create") else 200)
        assert response.headers["x-request-id"] == "my-request.1"
        assert response.json().get("synced") is (None if route in READS | ONLY_AT_CLERK else True)
    managed.assert_equal()
    (attempt,) = managed.attempts()
    assert attempt["requestId"].startswith("my-request.1.")
    target = None if route in WITHOUT_USER else managed.eve
    if route == "create":
        target = response.json()["user"]["id"]
    changes = {"create": "created", "delete": "deleted"}
    changes |= dict.fromkeys(("update", "update_metadata", "ban", "lock"), "updated")
    told = {name: attempt.get(name) for name in ("action", "actor", "clerkId", "outcome", "change")}
    assert told == {
        "action": route,
        "actor": managed.ada,
        "clerkId": target,
        "outcome": "done",
        "change": changes.get(route),
    }
    assert bool(attempt["fields"]) is (attempt.get("change") == "updated")
    assert attempt == managed.audit()[0]  # the change has no entry of its own


async def test_scheme_and_headers(managed: Managed) -> None:
    """The case of the scheme does not matter. Two headers, another scheme or an empty token count as no
    token."""
    token, app = managed.token(managed.ada), managed.app()
    async with managed.client(app) as client:
        for good in (f"bearer {token}", f"BEARER  {token} "):
            assert (await client.get("", headers={"Authorization": good})).status_code == 200
        for bad in ("", "Bearer", "Bearer ", f"Basic {token}", token):
            response = await client.get("", headers={"Authorization": bad})
            assert error(response)["code"] == "no_token"
        twice = [("Authorization", f"Bearer {token}")] * 2
        assert error(await client.get("", headers=twice))["code"] == "no_token"


# Effects


async def test_actions(managed: Managed) -> None:
    """After each action Convex and Clerk, as the official SDK reads it, have the same user, and the answer
    has it too."""
    with sdk(managed.clerk, managed.clerk.secret_key) as official:
        async with managed.as_admin() as client:
            created = await client.post(
                "",
                json={
                    "email_address": "mary@example.com",
                    "phone_number": "+15550100",
                    "username": "mary",
                    "first_name": " Mary ",
                    "last_name": "Jackson",
                    "external_id": "legacy-7",
                    "public_metadata": {"plan": {"seats": 3}},
                },
            )
            assert created.status_code == 201
            user_id = created.json()["user"]["id"]
            assert_same(managed, official, created, first_name="Mary", username="mary")

            async def do(method: str, path: str, body: Any = None, **expected: Any) -> None:
                response = await client.request(method, f"/{user_id}{path}", json=body)
                assert response.status_code == 200
                assert_same(managed, official, response, **expected)

            await do("PATCH", "", {"first_name": None, "last_name": "Winston"}, first_name=None)
            await do("PATCH", "", {"username": None, "external_id": "legacy-8"}, username=None)
            metadata = {"public_metadata": {"role": "editor", "plan": {"seats": None, "until": 1e10}}}
            expected = {"role": "editor", "plan": {"until": 1e10}}
            await do("PATCH", "/metadata", metadata, public_metadata=expected)
            await do("POST", "/ban", {}, banned=True)
            await do("POST", "/ban", banned=True)  # a second ban has no effect
            await do("POST", "/lock", banned=True, locked=True)
            await do("POST", "/unban", banned=False, locked=True)
            await do("POST", "/unlock", locked=False)
            shown = (await client.get(f"/{user_id}")).json()["user"]
            assert shown == (await client.get("", params={"query": "winston"})).json()["users"][0]

            response = await client.delete(f"/{user_id}")
            assert response.json() == {"deleted": True, "id": user_id, "synced": True}
            managed.assert_equal()
            assert user_id not in managed.functions.rows()
            response = await client.delete(f"/{user_id}")  # a second click
            assert (response.status_code, error(response)["code"]) == (404, "resource_not_found")
    outcomes = [row["outcome"] for row in managed.attempts()]
    assert outcomes == ["done"] * 12 + ["failed"]
    assert (managed.attempts()[-1]["status"], managed.attempts()[-1]["reason"]) == (404, "resource_not_found")
    changes = [row.get("change") for row in managed.attempts() if row.get("clerkId") == user_id]
    # The second ban changed nothing, and a banned user who is locked too stays banned.
    updated = ["updated"] * 4
    assert changes == ["created", *updated, None, None, *updated[:2], None, "deleted", None]
    assert len(managed.audit(clerkId=user_id)) == len(changes)
    assert "mary" not in canonical_json([{**row, "name": None} for row in managed.audit()]).lower()


async def test_lock_ends_by_itself(managed: Managed) -> None:
    """An hour after Clerk's answer, by Clerk's clock. The row has that time with the lock."""
    before = time.time() * 1000
    async with managed.as_admin() as client:
        assert (await client.post(f"/{managed.eve}/lock")).json()["synced"] is True
        row = managed.functions.rows()[managed.eve]
        assert row["status"] == "locked"
        # Clerk's `Date` has whole seconds, and the duration of the request is subtracted.
        assert before + 3_595_000 < row["lockedUntil"] <= time.time() * 1000 + 3_600_000
        await client.post(f"/{managed.eve}/unlock")
    assert managed.functions.rows()[managed.eve].get("lockedUntil") is None


async def test_directory_has_removed_the_user(managed: Managed) -> None:
    """The user is shown as deprovisioned, is no admin any more, and stays at Clerk."""
    managed.clerk.deprovision(managed.grace)
    managed.sync(managed.grace)
    assert managed.functions.rows()[managed.grace]["status"] == "deprovisioned"
    async with managed.as_admin() as client:
        assert (await client.get(f"/{managed.grace}")).json()["user"]["deprovisioned"] is True
        response = await client.delete(f"/{managed.grace}")
        assert (response.status_code, error(response)["code"]) == (409, "user_managed_by_scim")
        assert "company's directory" in error(response)["message"]


async def test_external_ids_with_a_sign(managed: Managed) -> None:
    """A filter with a minus at its beginning finds that user, and not all others."""
    managed.clerk.update_user(managed.eve, external_id="-5")
    managed.clerk.update_user(managed.grace, external_id="5")
    async with managed.as_admin() as client:
        for external_id, user_id in (("-5", managed.eve), ("5", managed.grace)):
            found = (await client.get("", params={"external_id": external_id})).json()
            assert [user["id"] for user in found["users"]] == [user_id]
            assert found["total"] == 1


def assert_same(managed: Managed, official: ClerkSDK, response: httpx.Response, **expected: Any) -> None:
    body = response.json()
    assert body["synced"] is True
    shown = body["user"]
    assert {name: shown[name] for name in expected} == expected
    managed.assert_equal()
    seen = official.users.get(user_id=shown["id"])
    names = ("first_name", "last_name", "username", "external_id", "banned", "locked", "public_metadata")
    for name in names:
        assert getattr(seen, name) == shown[name]
    row = managed.functions.rows()[shown["id"]]
    assert row["status"] == ("banned" if seen.banned else "locked" if seen.locked else "active")
    assert [row.get("firstName"), row.get("lastName")] == [seen.first_name, seen.last_name]
    assert "private_metadata" not in shown
    assert "unsafe_metadata" not in shown


async def test_list(managed: Managed) -> None:
    """Search, filters, order and pages are Clerk's. `total` counts all pages."""
    managed.clerk.ban(managed.eve)
    ada, grace, eve = managed.ada, managed.grace, managed.eve
    async with managed.as_admin() as client:

        async def ids(**parameters: Any) -> list[str]:
            body = (await client.get("", params=parameters)).json()
            assert body["total"] == (len(body["users"]) if "limit" not in parameters else 3)
            return [user["id"] for user in body["users"]]

        assert await ids() == [eve, grace, ada]
        assert await ids(order_by="created_at") == [ada, grace, eve]
        assert await ids(order_by="+first_name") == [ada, eve, grace]
        assert await ids(order_by="-first_name") == [grace, eve, ada]
        assert await ids(query="GRACE@") == [grace]
        assert await ids(banned="true") == [eve]
        assert await ids(banned="false") == [grace, ada]
        assert await ids(email_address="eve@example.com") == [eve]
        assert await ids(username="nobody") == []
        assert await ids(limit=2) == [eve, grace]
        assert await ids(limit=2, offset=2) == [ada]
        response = await client.get("?order_by=+first_name")  # an unescaped + is read as +
        assert [user["id"] for user in response.json()["users"]] == [ada, eve, grace]
        (user,) = (await client.get("", params={"query": "ada@"})).json()["users"]
    assert user["email_addresses"][0].keys() == {"id", "email_address", "verified"}
    assert user["public_metadata"] == {"role": "admin"}


async def test_users_of_any_kind(managed: Managed) -> None:
    """Public metadata is shown unchanged, whatever it contains, and no other metadata."""
    deep: Any = "core"
    for _ in range(150):
        deep = {"x": deep}
    odd = managed.clerk.create_user(
        public_metadata={"deep": deep, "big": 10**30, "half": "\ud800", "$x": 1},
        email_addresses=[{"id": "idn_1", "email_address": "a@example.com", "verification": None}],
        phone_numbers=[],
        private_metadata={"s3cret": 1},
        unsafe_metadata={"s3cret": 1},
    )
    async with managed.as_admin() as client:
        response = await client.get(f"/{odd['id']}")
        assert (await client.post(f"/{odd['id']}/lock")).json()["synced"] is True
    assert response.status_code == 200
    assert "s3cret" not in response.text
    assert response.json()["user"]["public_metadata"]["big"] == 10**30
    assert response.json()["user"]["email_addresses"] == [
        {"id": "idn_1", "email_address": "a@example.com", "verified": False}
    ]
    managed.assert_equal()


# Guards


@pytest.mark.parametrize("route", ["ban", "lock", "delete", "update_metadata"])
async def test_admin_cannot_remove_their_own_role(managed: Managed, route: str) -> None:
    """An admin cannot ban, lock, delete or demote the own account. All other actions on it are allowed."""
    before = managed.clerk.get_user(managed.ada) | {"last_sign_in_at": None, "last_active_at": None}
    async with managed.as_admin() as client:
        response = await call(client, route, managed.ada)
        assert (response.status_code, error(response)["code"]) == (403, "self")
        for body in ({"public_metadata": {"role": None}}, {"public_metadata": {"role": {"admin": True}}}):
            assert error(await client.patch(f"/{managed.ada}/metadata", json=body))["code"] == "self"
        after = managed.clerk.get_user(managed.ada) | {"last_sign_in_at": None, "last_active_at": None}
        assert after == before
        assert (await call(client, "update", managed.ada)).status_code == 200
        kept = {"public_metadata": {"role": "admin", "plan": "x"}}
        assert (await client.patch(f"/{managed.ada}/metadata", json=kept)).status_code == 200
        assert (await client.patch(f"/{managed.ada}/metadata", json={"public_metadata": {"a": 1}})).is_success


async def test_two_admins_remove_each_other(managed: Managed) -> None:
    """At the same time, by each combination of actions: one admin is left."""
    async with (
        managed.as_admin() as ada,
        managed.client(managed.app(), managed.token(managed.grace)) as grace,
    ):
        responses = await asyncio.gather(
            call(ada, "ban", managed.grace), call(grace, "update_metadata", managed.ada)
        )
    assert sorted(response.status_code for response in responses) == [200, 403]
    admins = [
        row
        for row in managed.functions.rows().values()
        if (row.get("role"), row["status"]) == ("admin", "active")
    ]
    assert len(admins) == 1


async def test_double_click(managed: Managed) -> None:
    """The same call twice at the same time has no double effect, and both answers are true."""
    async with managed.as_admin() as client:
        bans = await asyncio.gather(*(call(client, "ban", managed.eve) for _ in range(2)))
        assert [response.json()["user"]["banned"] for response in bans] == [True, True]
        creations = await asyncio.gather(*(call(client, "create", "") for _ in range(2)))
        assert sorted(response.status_code for response in creations) == [201, 422]
        (refused,) = (error(response) for response in creations if response.status_code == 422)
        assert refused["code"] == "form_identifier_exists"
        assert "already" in refused["message"]
        deletions = await asyncio.gather(*(call(client, "delete", managed.eve) for _ in range(2)))
        assert sorted(response.status_code for response in deletions) == [200, 404]
    managed.assert_equal()


async def test_two_admins_on_one_user(managed: Managed) -> None:
    """After concurrent actions of two admins on one user, Convex equals Clerk."""
    async with (
        managed.as_admin() as ada,
        managed.client(managed.app(), managed.token(managed.grace)) as grace,
    ):
        for _ in range(5):
            names = [
                client.patch(f"/{managed.eve}", json={"first_name": f"Name {number}"})
                for number, client in enumerate([ada, grace] * 5)
            ]
            assert all(response.is_success for response in await asyncio.gather(*names))
            managed.assert_equal()
        await asyncio.gather(call(ada, "delete", managed.eve), call(grace, "update", managed.eve))
    managed.assert_equal()


async def test_convex_judges_the_patch(managed: Managed, convex: StandIn) -> None:
    """Convex gets the metadata patch, and decides whether it removes an admin."""
    convex.behave(then=stand_in.value({"allowed": False, "reason": "self", "message": "Not today."}))
    app = managed.app(CONVEX_URL=convex.url, CONVEX_DEPLOY_KEY=DEPLOY_KEY)
    async with managed.as_admin(app) as client:
        patch = {"team": None, "plan": {"seats": 3}}
        response = await client.patch(f"/{managed.ada}/metadata", json={"public_metadata": patch})
        assert error(response)["code"] == "self"
    (asked,) = convex.calls
    assert json.loads(asked.body["args"]["publicMetadata"]) == patch


# Mounting


async def test_mounted_anywhere(managed: Managed) -> None:
    """In Starlette, under a Mount, in FastAPI and with another prefix. Other routes are not affected."""
    settings, token = managed.settings(), managed.token(managed.ada)
    fastapi = FastAPI()
    fastapi.router.routes.append(user_routes(settings=settings))
    apps = {
        "/people": Starlette(routes=[user_routes("/people/", settings=settings)]),
        "/admin/api/users": Starlette(routes=[Mount("/admin", routes=[user_routes(settings=settings)])]),
        "/api/users": fastapi,
    }
    for path, app in apps.items():
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://s", headers=headers) as client:
            for end in ("", "/", f"/{managed.eve}", f"/{managed.eve}/"):
                assert (await client.get(path + end)).status_code == 200
            assert (await client.get(path + "and")).status_code == 404
            for end in ("/user_1/x", "/user_1/metadata/x", "//", "/user_1//ban"):
                response = await client.post(path + end)
                assert (response.status_code, error(response)["code"]) == (404, "no_such_path")
            response = await client.put(f"{path}/user_1")
            assert error(response)["code"] == "method_not_allowed"
            assert (response.status_code, response.headers["allow"]) == (405, "GET, PATCH, DELETE")


def test_event_loops_that_come_and_go(managed: Managed) -> None:
    """One app serves several event loops, one after the other."""
    app, token = managed.app(), managed.token(managed.ada)

    async def main() -> int:
        async with managed.client(app, token) as client:
            return (await call(client, "update", managed.eve)).status_code

    assert [asyncio.run(main()) for _ in range(3)] == [200] * 3


async def test_cors(managed: Managed) -> None:
    """It is off unless origins are set. Then it is on for these, also on refusals."""
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    async with managed.client(managed.app()) as client:
        response = await client.options(f"/{managed.eve}", headers=asked)
        assert response.status_code == 405
        assert "access-control-allow-origin" not in response.headers
    async with managed.client(managed.app(CLERK_CONVEX_CORS_ORIGINS=ORIGIN)) as client:
        asked["Access-Control-Request-Headers"] = "authorization, content-type, x-request-id"
        response = await client.options(f"/{managed.eve}", headers=asked)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "PATCH" in response.headers["access-control-allow-methods"]
        response = await client.get("", headers={"Origin": ORIGIN})
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (401, ORIGIN)
        assert "Retry-After" in response.headers["access-control-expose-headers"]
        response = await client.get("", headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in response.headers


async def test_request_ids(managed: Managed) -> None:
    """A malformed id of the caller's is replaced by a new one, which is returned and recorded."""
    async with managed.as_admin() as client:
        for given in ("short", "x" * 65, "with space", "<script>", "é-------", ""):
            headers = [(b"X-Request-Id", given.encode())]
            response = await client.get(f"/{managed.eve}", headers=headers)
            assert response.headers["x-request-id"].startswith("req_")
            assert managed.attempts()[-1]["requestId"] == response.headers["x-request-id"]


async def test_request_ids_that_are_used_again(managed: Managed) -> None:
    """An id that was allowed once gives its caller no permission later."""
    given = {"X-Request-Id": "my-request.1"}
    begin = {"action": "ban", "actor": managed.grace, "target": managed.eve}
    managed.functions.mutation("users:beginAction", begin | {"requestId": "my-request.1"})
    async with managed.client(managed.app(), managed.token(managed.grace)) as client:
        managed.clerk.update_metadata(managed.grace, public_metadata={"role": "user"})
        managed.sync(managed.grace)
        for _ in range(2):
            response = await call(client, "ban", managed.eve, headers=given)
            assert (response.status_code, error(response)["code"]) == (403, "not_admin")
            assert response.headers["x-request-id"] == "my-request.1"


async def test_timeout_and_patience_of_an_admins_call(managed: Managed) -> None:
    """An attempt has eight seconds, and attempts begin for four: admins get errors sooner than a backfill."""
    clerk = Service(managed.settings()).clerk
    assert (clerk.timeout, clerk.patience) == (8.0, 4.0)
