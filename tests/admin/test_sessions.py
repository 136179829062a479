"""The sessions of a user: listed with their devices, and revoked."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from clerk_convex.clerk.api import Clerk
from clerk_convex.errors import ClerkError, ClerkUnavailable
from clerk_convex.service import Timeouts
from tests.admin.test_routes import error
from tests.support.managed import Managed

pytestmark = pytest.mark.anyio


async def test_sessions_are_listed_with_their_devices(managed: Managed) -> None:
    """The newest first, of the user only, and by page. The audit log has no device and no address."""
    ids = [managed.clerk.sign_in(managed.eve)["id"] for _ in range(3)]
    managed.clerk.revoke_session(ids[0])
    async with managed.as_admin() as client:
        found = (await client.get(f"/{managed.eve}/sessions")).json()
        assert [session["id"] for session in found["sessions"]] == [ids[2], ids[1]]
        assert (found["has_more"], found["limit"], found["offset"]) == (False, 20, 0)
        session = found["sessions"][0]
        assert session.keys() == {
            *("id", "status", "created_at", "last_active_at", "expire_at", "device", "impersonated")
        }
        assert (session["status"], session["impersonated"]) == ("active", False)
        assert session["device"].keys() == {
            *("device_type", "is_mobile", "browser_name", "browser_version"),
            *("ip_address", "city", "country"),
        }
        page = (await client.get(f"/{managed.eve}/sessions", params={"limit": 1})).json()
        assert ([session["id"] for session in page["sessions"]], page["has_more"]) == ([ids[2]], True)
        page = (await client.get(f"/{managed.eve}/sessions", params={"status": "revoked"})).json()
        assert [session["id"] for session in page["sessions"]] == [ids[0]]
        response = await client.get(f"/{managed.eve}/sessions", params={"status": "lost"})
        assert (response.status_code, error(response)["errors"][0]["field"]) == (422, "status")
    assert [row["action"] for row in managed.attempts()] == ["list_sessions"] * 3
    assert session["device"]["ip_address"] not in json.dumps(managed.audit())


async def test_one_session_is_revoked(managed: Managed) -> None:
    """The others stay. One of another user is not found, so that the audit log names the right user."""
    one, other = (managed.clerk.sign_in(managed.eve)["id"] for _ in range(2))
    foreign = managed.clerk.sign_in(managed.grace)["id"]
    path = f"/{managed.eve}/sessions/revoke"
    async with managed.as_admin() as client:
        response = await client.post(path, json={"session_id": one})
        assert (response.status_code, response.json()["session"]["status"]) == (200, "revoked")
        for unknown in (foreign, "sess_nobody"):
            response = await client.post(path, json={"session_id": unknown})
            assert (response.status_code, error(response)["code"]) == (404, "resource_not_found")
            assert "no such session" in error(response)["message"]
        for wrong in ({}, {"session_id": managed.eve}, {"session_id": "sess_1/../x"}, {"session_id": None}):
            assert (await client.post(path, json=wrong)).status_code == 422
    statuses = [managed.clerk.get_session(session)["status"] for session in (one, other, foreign)]
    assert statuses == ["revoked", "active", "active"]
    attempts = [(row["action"], row["outcome"], row["clerkId"]) for row in managed.attempts()]
    ends = ("done", "failed", "failed")
    assert attempts == [("revoke_session", end, managed.eve) for end in ends]
    assert [row["object"] for row in managed.attempts()] == [one, foreign, "sess_nobody"]


async def test_all_sessions_are_revoked(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending ones too, and none of another user. If one call cannot revoke them all, the answer says so."""
    monkeypatch.setattr("clerk_convex.admin.actions._MOST_SESSIONS", 3)
    grace = managed.clerk.sign_in(managed.grace)["id"]
    for status in ("active", "active", "active", "pending"):
        managed.clerk.sign_in(managed.eve, status=status)
    path = f"/{managed.eve}/sessions/revoke_all"
    async with managed.as_admin() as client:
        assert (await client.post(path)).json() == {"revoked": 4, "has_more": True}
        assert (await client.post(path)).json() == {"revoked": 0, "has_more": False}
    statuses = {session["status"] for session in managed.clerk.sessions(user_id=managed.eve)}
    assert statuses == {"revoked"}
    assert managed.clerk.get_session(grace)["status"] == "active"


async def test_a_session_that_cannot_be_revoked_fails_the_call(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are revoked all the same. One that has ended meanwhile counts as revoked."""
    caplog.set_level(logging.DEBUG)
    managed.timeouts = Timeouts(clerk_retries=0.0)
    ids = [managed.clerk.sign_in(managed.eve)["id"] for _ in range(3)]
    real = Clerk.revoke_session

    async def failing(self: Clerk, session_id: str) -> dict[str, Any]:
        if session_id == ids[0]:
            raise ClerkUnavailable("Clerk answered 500.", status=500)
        if session_id == ids[1]:
            raise ClerkError("Clerk answered 404.", status=404)
        return await real(self, session_id)

    monkeypatch.setattr(Clerk, "revoke_session", failing)
    async with managed.as_admin() as client:
        response = await client.post(f"/{managed.eve}/sessions/revoke_all")
    assert (response.status_code, error(response)["code"]) == (502, "clerk_unavailable")
    assert error(response)["may_be_done"] is True
    assert managed.clerk.get_session(ids[2])["status"] == "revoked"
    assert [row["outcome"] for row in managed.attempts()] == ["failed"]
    assert "sess_" not in "".join(it.getMessage() for it in caplog.records if it.name == "clerk_convex")
