"""Sync now: one user is read from Clerk and written to Convex, by the same rules as an event."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from clerk_convex.clerk.api import Clerk, Snapshot
from clerk_convex.entities import Delete
from clerk_convex.errors import ClerkNotFound
from clerk_convex.local.clerk import Faults
from clerk_convex.service import Timeouts
from tests.admin.test_routes import error
from tests.support import stand_in
from tests.support.managed import Managed
from tests.support.stand_in import DEPLOY_KEY, StandIn
from tests.webhook.test_route import until

pytestmark = pytest.mark.anyio

HURRY = Timeouts(clerk_retries=0.0, clerk_call=20.0, write=20.0, audit_wait=20.0, audit=20.0, ledger=0.0)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once, with dates in Clerk's answers that prove as much as five seconds would."""
    monkeypatch.setattr("clerk_convex.clerk.absence.SECOND_LOOK", 0.0)
    monkeypatch.setattr("clerk_convex.clerk.api._CLOCK_MARGIN", -3000.0)


async def test_a_lost_webhook_is_made_good(managed: Managed) -> None:
    """The row becomes what Clerk has, with the admin in the audit log. A second sync changes nothing."""
    managed.clerk.update_user(managed.eve, first_name="Eva")
    managed.clerk.ban(managed.eve)
    async with managed.as_admin() as client:
        response = await client.post(f"/{managed.eve}/sync")
        body = response.json()
        assert (response.status_code, body["synced"], body["outcome"]) == (200, True, "updated")
        assert body["user"]["first_name"] == "Eva"
        managed.assert_equal()
        assert (await client.post(f"/{managed.eve}/sync", json={})).json()["outcome"] == "unchanged"
        assert (await client.post(f"/{managed.eve}/sync", json={"force": 1})).status_code == 422
    second, first = managed.audit(clerkId=managed.eve)
    assert (first["source"], first["actor"], first["change"]) == ("admin", managed.ada, "updated")
    assert set(first["fields"]) >= {"firstName", "status"}
    assert (second["fields"], second.get("change")) == ([], None)
    attempts = [(row["action"], row["outcome"], row["clerkId"]) for row in managed.attempts()]
    assert attempts == [("sync", "done", managed.eve)] * 2


async def test_a_change_that_the_webhook_brought_sooner_is_the_actions(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clerk's webhook may come before the answer of its API. There is still one entry, of the admin."""
    ban, delete = Clerk.ban, Clerk.delete_user

    async def banned(clerk: Clerk, user_id: str) -> Snapshot:
        snapshot = await ban(clerk, user_id)
        await asyncio.to_thread(managed.sync, user_id)
        return snapshot

    async def deleted(clerk: Clerk, user_id: str) -> Snapshot:
        snapshot = await delete(clerk, user_id)
        event = Delete(user_id, snapshot.observed_at, "webhook", "msg_1")
        await asyncio.to_thread(managed.functions.sync, [event])
        return snapshot

    monkeypatch.setattr(Clerk, "ban", banned)
    monkeypatch.setattr(Clerk, "delete_user", deleted)
    async with managed.as_admin() as client:
        assert (await client.post(f"/{managed.eve}/ban")).status_code == 200
        assert (await client.delete(f"/{managed.eve}")).status_code == 200
    second, first = managed.audit(clerkId=managed.eve)
    assert (first["action"], first["change"], first["fields"]) == ("ban", "updated", ["status"])
    assert (second["action"], second["change"], second["eventId"]) == ("delete", "deleted", "msg_1")
    person = managed.functions.query("users:exportPerson", {"clerkId": managed.eve, "cursor": None})
    assert [entry["source"] for entry in person["entries"]] == ["webhook", "admin", "admin"]


async def test_a_user_without_a_row_gets_one(managed: Managed) -> None:
    new = managed.clerk.create_user(first_name="New")["id"]
    async with managed.as_admin() as client:
        assert (await client.post(f"/{new}/sync")).json()["outcome"] == "created"
    managed.assert_equal()


async def test_a_user_whom_clerk_does_not_have_is_removed(managed: Managed) -> None:
    """As a prune concludes it. Clerk announced nothing, so a later event of the user lifts the tombstone."""
    managed.clerk.delete_user(managed.eve)
    async with managed.as_admin() as client:
        response = await client.post(f"/{managed.eve}/sync")
    assert response.json() == {"deleted": True, "id": managed.eve, "synced": True, "outcome": "deleted"}
    managed.assert_equal()
    person = managed.functions.query("users:exportPerson", {"clerkId": managed.eve, "cursor": None})
    assert person["stored"]["version"]["pruned"] is True


async def test_a_mistyped_id_leaves_no_tombstone(managed: Managed) -> None:
    async with managed.as_admin() as client:
        response = await client.post("/user_nobody/sync")
    assert response.json() == {"deleted": True, "id": "user_nobody", "synced": True, "outcome": "unchanged"}
    person = managed.functions.query("users:exportPerson", {"clerkId": "user_nobody", "cursor": None})
    assert person["stored"]["version"] is None


@pytest.mark.parametrize("comes_back", [True, False])
async def test_one_404_removes_nobody(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    """The user is there at the second look, or the dates do not prove that the second look was later."""
    real, looks = Clerk.get_user, 0

    async def gone_at_first(self: Clerk, user_id: str) -> Snapshot:
        nonlocal looks
        looks += 1
        if looks == 1 or not comes_back:
            raise ClerkNotFound("Clerk answered 404.", status=404, code="resource_not_found")
        return await real(self, user_id)

    monkeypatch.setattr(Clerk, "get_user", gone_at_first)
    async with managed.as_admin() as client:
        response = await client.post(f"/{managed.eve}/sync")
    assert looks == 2
    managed.assert_equal()
    if comes_back:
        assert response.json()["outcome"] == "unchanged"
    else:
        assert (response.status_code, error(response)["code"]) == (502, "clerk_unavailable")
        assert "could not prove it" in error(response)["message"]


async def test_a_deleted_user_stays_deleted(managed: Managed) -> None:
    """The answer says why there is no row."""
    managed.functions.mutation("users:deleteUser", {"clerkId": managed.eve})
    async with managed.as_admin() as client:
        assert (await client.post(f"/{managed.eve}/sync")).json()["outcome"] == "tombstoned"
    assert managed.eve not in managed.functions.rows()


async def test_clerk_in_trouble(managed: Managed) -> None:
    """The answer does not say that Clerk may have done something."""
    managed.timeouts = HURRY
    async with managed.as_admin() as client:
        await client.get(f"/{managed.eve}")
        managed.clerk.faults = Faults(status=500, times=1)
        response = await client.post(f"/{managed.eve}/sync")
    assert (response.status_code, error(response)["code"]) == (502, "clerk_unavailable")
    assert "may_be_done" not in error(response)
    assert managed.attempts()[-1]["outcome"] == "failed"


@pytest.mark.parametrize("is_refused", [True, False])
async def test_convex_in_trouble(managed: Managed, convex: StandIn, is_refused: bool) -> None:
    """A write that fails is an error, because the action has no other effect. The ledger keeps a refusal."""
    managed.timeouts = HURRY if is_refused else replace(HURRY, write=0.5)
    allowed = stand_in.value({"allowed": True, "id": "attempt_1"})
    write = stand_in.sync(refuse=lambda change: True) if is_refused else stand_in.status(503)

    async def behaviour(asked: stand_in.Call, writer: asyncio.StreamWriter) -> None:
        ends = {"users:beginAction": allowed, "users:syncUsers": write}
        await ends.get(asked.path, stand_in.value(None))(asked, writer)

    convex.behave(then=behaviour)
    app = managed.app(CONVEX_URL=convex.url, CONVEX_DEPLOY_KEY=DEPLOY_KEY)
    async with managed.client(app, managed.token(managed.ada)) as client:
        response = await client.post(f"/{managed.eve}/sync")
        code = (502, "refused") if is_refused else (503, "convex_unavailable")
        assert (response.status_code, error(response)["code"]) == code
        assert "could not be written to Convex" in error(response)["message"]
        if is_refused:
            await until(lambda: convex.calls[-1].path == "users:recordRefusals")
    (end,) = [asked.body["args"] for asked in convex.calls if asked.path == "users:finishAction"]
    assert (end["outcome"], end["code"]) == ("failed", code[1])
