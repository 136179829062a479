"""clerk_convex/admin/own_row.py: POST /api/users/me, while no webhook has come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clerk_convex.local.clerk import Faults
from clerk_convex.service import Timeouts
from tests.admin.test_routes import error
from tests.support import stand_in
from tests.support.functions import Caller
from tests.support.managed import NOWHERE, Managed
from tests.support.stand_in import DEPLOY_KEY, StandIn
from tests.webhook.test_route import until

pytestmark = pytest.mark.anyio

HURRY = Timeouts(clerk_retries=0.0, clerk_call=20.0, write=20.0, ledger=0.0)


def sign_up(managed: Managed, **more: Any) -> str:
    """Create a user whom Convex does not have: no webhook is set up."""
    user = managed.clerk.create_user(first_name="New", email_address=["new@example.com"], **more)
    return str(user["id"])


async def test_the_row_is_there_right_after_the_sign_up(managed: Managed) -> None:
    """No admin and no webhook is needed. A second call changes nothing."""
    new = sign_up(managed)
    token = managed.token(new)
    browser = Caller(managed.convex, token)
    assert browser.query("users:currentUser") == {"state": "not_synced", "clerkId": new}
    async with managed.client(managed.app(), token) as client:
        first = await client.post("/me")
        assert (first.status_code, first.json()) == (200, {"outcome": "created"})
        assert browser.query("users:currentUser")["user"]["firstName"] == "New"
        assert (await client.post("/me/")).json() == {"outcome": "unchanged"}
    caller = Caller(managed.convex, managed.token(managed.grace))
    (page,) = caller.pages("users:auditLog", 100, clerkId=new)
    assert [(entry["outcome"], entry["source"]) for entry in page] == [("created", "user")]
    assert managed.attempts() == []


async def test_it_writes_the_caller_only_and_as_clerk_has_the_user(managed: Managed) -> None:
    """A body names nobody. A banned user's row says so, and an admin's role comes from Clerk."""
    banned, admin = sign_up(managed), managed.clerk.create_user(public_metadata={"role": "admin"})["id"]
    token = managed.token(banned)
    managed.clerk.ban(banned)
    app = managed.app()
    async with managed.client(app, token) as client:
        answer = await client.post("/me", json={"id": managed.eve, "role": "admin"})
        assert answer.json() == {"outcome": "created"}
    async with managed.client(app, managed.token(admin)) as client:
        assert (await client.post("/me")).json() == {"outcome": "created"}
    rows = managed.functions.rows()
    assert rows[banned]["status"] == "banned"
    assert "role" not in rows[banned]
    assert rows[admin]["role"] == "admin"


async def test_a_deleted_user_stays_deleted(managed: Managed) -> None:
    """Deleted by hand in Convex: the tombstone wins. Deleted at Clerk: there is nothing to write."""
    token = managed.token(managed.eve)
    managed.functions.mutation("users:deleteUser", {"clerkId": managed.eve})
    async with managed.client(managed.app(), token) as client:
        answer = await client.post("/me")
        assert (answer.status_code, answer.json()) == (200, {"outcome": "tombstoned"})
        managed.clerk.delete_user(managed.eve)
        answer = await client.post("/me")
    assert answer.status_code == 404
    assert error(answer)["code"] == "deleted"
    assert managed.eve not in managed.functions.rows()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"azp": "https://evil.example"}, "wrong_party"),
        ({"claims": {"sts": "pending"}}, "pending_session"),
        ({"claims": {"act": {"sub": "user_x"}}}, "impersonation"),
    ],
)
async def test_it_needs_the_users_own_session(managed: Managed, options: dict[str, Any], code: str) -> None:
    new = sign_up(managed)
    async with managed.client(managed.app(), managed.token(new, **options)) as client:
        answer = await client.post("/me")
        assert (answer.status_code, error(answer)["code"]) == (401, code)
    async with managed.client(managed.app()) as client:
        assert error(await client.post("/me"))["code"] == "no_token"
    assert new not in managed.functions.rows()


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_another_method_is_refused(managed: Managed, method: str) -> None:
    """It is not read as an action on a user with the id "me"."""
    async with managed.as_admin() as client:
        answer = await client.request(method, "/me")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert error(answer)["code"] == "method_not_allowed"


async def test_it_has_a_limit_of_its_own_for_each_caller(managed: Managed) -> None:
    app = managed.app(CLERK_CONVEX_ME_LIMIT="2/minute")
    async with managed.client(app, managed.token(managed.eve)) as client:
        answers = [await client.post("/me") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert error(answers[2])["code"] == "too_many_calls"
    async with managed.client(app, managed.token(managed.ada)) as client:
        assert (await client.post("/me")).status_code == 200
        assert (await client.get(f"/{managed.eve}")).status_code == 200


async def test_trouble_at_clerk(managed: Managed, caplog: pytest.LogCaptureFixture) -> None:
    """The caller may be anyone: the log says which setting is wrong, the answer does not."""
    managed.timeouts = HURRY
    key = {"CLERK_SECRET_KEY": "sk_test_" + "x" * 32}
    async with managed.client(managed.app(**key), managed.token(managed.eve)) as client:
        answer = await client.post("/me")
    told = error(answer)
    assert (answer.status_code, told["code"]) == (502, "clerk_misconfigured")
    assert told.keys() == {"code", "message", "request_id"}
    assert "CLERK_SECRET_KEY was rejected" in caplog.text
    managed.clerk.faults = Faults(status=500)
    async with managed.client(managed.app(), managed.token(managed.eve)) as client:
        answer = await client.post("/me")
    assert answer.status_code in {502, 503}
    assert error(answer)["retry_after"] > 0


async def test_trouble_at_convex(managed: Managed, caplog: pytest.LogCaptureFixture) -> None:
    managed.timeouts = replace(HURRY, write=0.5)
    async with managed.client(managed.app(CONVEX_URL=NOWHERE), managed.token(managed.eve)) as client:
        answer = await client.post("/me")
    told = error(answer)
    assert (answer.status_code, told["code"], told["retry_after"]) == (503, "convex_unavailable", 5)
    assert "CONVEX_URL" not in answer.text
    assert "within" in caplog.text


async def test_a_refused_user_is_in_the_ledger(managed: Managed, convex: StandIn) -> None:
    """An admin finds the reason there."""
    managed.timeouts = HURRY
    convex.behave(then=stand_in.sync(refuse=lambda change: change["clerkId"] == managed.eve))
    app = managed.app(CONVEX_URL=convex.url, CONVEX_DEPLOY_KEY=DEPLOY_KEY)
    async with managed.client(app, managed.token(managed.eve)) as client:
        answer = await client.post("/me")
        assert (answer.status_code, error(answer)["code"]) == (502, "refused")
        await until(lambda: convex.calls[-1].path == "users:recordRefusals")
    (refusal,) = convex.calls[-1].body["args"]["refusals"]
    assert (refusal["clerkId"], refusal["source"]) == (managed.eve, "user")
    assert refusal["observedAt"] > 0
