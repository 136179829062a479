"""clerk_convex/admin/caller.py: a lost webhook leaves no admin in power. No webhook is sent here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from clerk_convex.local.clerk import Faults
from clerk_convex.service import Timeouts
from tests.support.functions import Caller
from tests.support.managed import NOWHERE, Managed

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def confirmed_callers() -> None:
    """Ask Clerk, as in production."""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda clerk, ada: clerk.update_metadata(ada, public_metadata={"role": None}), "not_admin"),
        (lambda clerk, ada: clerk.ban(ada), "not_active"),
        (lambda clerk, ada: clerk.lock(ada), "not_active"),
        (lambda clerk, ada: clerk.deprovision(ada), "not_active"),
        (lambda clerk, ada: clerk.delete_user(ada), "deleted"),
    ],
)
async def test_an_admin_whose_demotion_got_lost_is_denied_the_next_write(
    managed: Managed, change: Callable[..., object], reason: str
) -> None:
    """And it is in Convex then, so that reading ends too."""
    async with managed.as_admin() as client:
        change(managed.clerk, managed.ada)
        answer = await client.post(f"/{managed.eve}/ban")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, reason)
    assert not managed.clerk.get_user(managed.eve)["banned"]
    if reason != "deleted":
        row = managed.functions.rows()[managed.ada]
        assert (row.get("role"), row["status"]) != ("admin", "active")
        assert [row["outcome"] for row in managed.attempts()] == ["denied"]


async def test_a_caller_whose_row_is_created_is_on_record(managed: Managed) -> None:
    """Once: the next write finds the row, and records nothing of an admin who has not changed."""
    managed.functions.mutation("users:resetUser", {"clerkId": managed.ada})
    for action in ("ban", "unban"):
        async with managed.as_admin() as client:
            assert (await client.post(f"/{managed.eve}/{action}")).status_code == 200
    grace = Caller(managed.convex, managed.token(managed.grace))
    (page,) = grace.pages("users:auditLog", 100, clerkId=managed.ada)
    entries = [(entry["outcome"], entry["source"]) for entry in page]
    assert entries == [("created", "user"), ("reset", "manual"), ("created", "webhook")]


async def test_clerk_is_asked_for_each_caller_once_a_minute(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("clerk_convex.admin.caller.time.monotonic", lambda: now)
    app = managed.app()
    async with managed.as_admin(app) as ada, managed.client(app, managed.token(managed.grace)) as grace:
        assert (await ada.post(f"/{managed.eve}/ban")).status_code == 200
        for admin in (managed.ada, managed.grace):
            managed.clerk.update_metadata(admin, public_metadata={"role": None})
        now += 59.9
        assert (await ada.post(f"/{managed.eve}/unban")).status_code == 200
        now += 0.1
        assert (await ada.post(f"/{managed.eve}/ban")).status_code == 403
        assert (await grace.post(f"/{managed.eve}/ban")).status_code == 403


async def test_reading_does_not_ask_clerk_for_the_caller(managed: Managed) -> None:
    """It is bounded by the webhook or by one interval of a follower."""
    async with managed.as_admin() as client:
        managed.clerk.update_metadata(managed.ada, public_metadata={"role": None})
        assert (await client.get(f"/{managed.eve}")).status_code == 200


@pytest.mark.parametrize(
    ("faults", "status", "code"),
    [
        (Faults(status=500), 503, "clerk_unavailable"),
        (Faults(status=429), 503, "clerk_too_busy"),
        (Faults(delay=60.0), 503, "clerk_too_slow"),
        (Faults(status=401, code="clerk_key_invalid"), 502, "clerk_misconfigured"),
    ],
)
async def test_nothing_is_allowed_while_clerk_cannot_be_asked(
    managed: Managed, faults: Faults, status: int, code: str
) -> None:
    managed.timeouts = Timeouts(clerk_retries=0.0, clerk_call=20.0)
    hasty = replace(managed.timeouts, clerk_call=1.0)
    async with managed.as_admin() as client:
        assert (await client.get(f"/{managed.eve}")).status_code == 200
        if faults.delay:
            managed.timeouts = hasty
        async with managed.as_admin() as admin:
            managed.clerk.faults = faults
            answer = await admin.post(f"/{managed.eve}/ban")
        managed.clerk.faults = Faults()
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["message"] == (
            "Clerk could not be asked whether you are still an administrator, so nothing was done."
        )
        assert "clerk_message" not in answer.json()["error"]  # it says which setting is wrong, to anyone
        assert ("retry-after" in answer.headers) == (status == 503)
        assert not managed.clerk.get_user(managed.eve)["banned"]
        if faults.status != 429:  # after which the client waits
            assert (await client.post(f"/{managed.eve}/ban")).status_code == 200


async def test_nothing_is_allowed_while_convex_cannot_be_told(managed: Managed) -> None:
    managed.timeouts = Timeouts(write=0.3)
    async with managed.as_admin(CONVEX_URL=NOWHERE) as client:
        answer = await client.post(f"/{managed.eve}/ban")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "convex_unavailable")
    assert not managed.clerk.get_user(managed.eve)["banned"]


async def test_a_caller_that_cannot_be_stored_is_not_allowed_and_recorded(managed: Managed) -> None:
    async with managed.as_admin(CLERK_CONVEX_FIELDS="tests.admin.test_caller:undeclared") as client:
        answer = await client.post(f"/{managed.eve}/ban")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "convex_unavailable")


def undeclared(user: object) -> dict[str, object]:
    return {"undeclared": 1}


async def test_the_memory_of_callers_is_bounded(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clerk_convex.admin.caller._MOST", 1)
    app = managed.app()
    async with managed.as_admin(app) as ada, managed.client(app, managed.token(managed.grace)) as grace:
        assert (await ada.post(f"/{managed.eve}/ban")).status_code == 200
        assert (await grace.post(f"/{managed.eve}/unban")).status_code == 200
        managed.clerk.update_metadata(managed.ada, public_metadata={"role": None})
        assert (await ada.post(f"/{managed.eve}/ban")).status_code == 403
