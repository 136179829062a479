"""Signed events: the webhook route takes them as it takes Clerk's."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from clerk_convex import Settings, SettingsError, webhook_route
from clerk_convex.testing import event, signed, user
from tests.support.stand_in import DEPLOY_KEY, StandIn

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["user.created", "user.updated", "user.deleted", "session.created"])
async def test_events_about_a_user_are_applied(kind: str, convex: StandIn) -> None:
    """The route answers 200, and Convex gets a change of this user."""
    settings = Settings.from_env(
        {
            "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
            "CONVEX_URL": convex.url,
            "CONVEX_DEPLOY_KEY": DEPLOY_KEY,
        }
    )
    app = Starlette(routes=[webhook_route(settings=settings)])
    ada = user(first_name="Ada", email_address=["ada@example.com"])
    headers, body = signed(event(kind, ada), SECRET)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        response = await client.post("/webhooks/clerk", content=body, headers=headers)
        assert response.status_code == 200, response.text
        headers, body = signed(event(kind, ada), OTHER)
        assert (await client.post("/webhooks/clerk", content=body, headers=headers)).status_code == 400
    (mutation,) = convex.mutations
    (change,) = mutation.changes
    assert change["clerkId"] == ada["id"]


def test_data_is_that_of_the_event() -> None:
    """A deletion has the id and no name, a session has the user in it, and other data stays as it is."""
    ada = user(first_name="Ada", external_id="crm-1")
    deleted = {"id": ada["id"], "external_id": "crm-1", "object": "user", "deleted": True}
    assert event("user.deleted", ada)["data"] == deleted
    assert event("user.deleted", user(id="user_1"))["data"].keys() == {"id", "object", "deleted"}
    session = event("session.ended", ada)["data"]
    assert (session["object"], session["user_id"], session["user"]) == ("session", ada["id"], ada)
    role: dict[str, Any] = {"object": "role", "id": "role_1"}
    made = event("role.created", role, timestamp=1_700_000_000_000)
    assert (made["object"], made["type"], made["data"]) == ("event", "role.created", role)
    assert made["timestamp"] == 1_700_000_000_000
    assert abs(event("role.created", role)["timestamp"] - time.time() * 1000) < 60_000
    assert user()["id"] != user()["id"]


def test_what_is_chosen_is_signed() -> None:
    """Id and time can be chosen, to be a retry or too late; a body of bytes is signed as it is."""
    headers, body = signed(b'{"odd": 1}', SECRET, message_id="msg_1", at=1_700_000_000.9)
    assert body == b'{"odd": 1}'
    assert headers == {
        "content-type": "application/json",
        "svix-id": "msg_1",
        "svix-timestamp": "1700000000",
        "svix-signature": "v1,CEyGCEltrsdtgeihKIpOPBAaSjXt2By8SD5Z9czHxjg=",
    }
    _, body = signed(event("user.created", user(first_name="Łukasz")), SECRET)
    assert json.loads(body)["data"]["first_name"] == "Łukasz"


def test_secret_is_the_environments_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one, if there are several. Without one, or with a malformed one, an error says what to do."""
    chosen: dict[str, Any] = {"message_id": "msg_1", "at": 1_700_000_000.0}
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", f"{OTHER} {SECRET}")
    assert signed(b"{}", **chosen) == signed(b"{}", OTHER, **chosen)
    monkeypatch.delenv("CLERK_WEBHOOK_SIGNING_SECRET")
    with pytest.raises(SettingsError, match="not set in the environment: set it, or pass a secret"):
        signed(b"{}")
    with pytest.raises(SettingsError, match="does not begin with whsec_"):
        signed(b"{}", "s3cret")
