"""examples/: what is shown to be copied works."""

import asyncio
import json
import logging
from datetime import UTC, datetime

import httpx
import pytest
from svix.webhooks import Webhook

from examples.service import app
from tests.functions import CREATED_AT, Functions

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_service_writes_an_event_and_says_welcome(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From a signed event to a row in Convex, in a service that has pages of its own."""
    monkeypatch.delenv("CLERK_SECRET_KEY", raising=False)
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
    monkeypatch.setenv("CONVEX_URL", functions.convex.url)
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", functions.convex.deploy_key)
    caplog.set_level(logging.INFO, "service")
    user = {"id": "user_1", "created_at": CREATED_AT, "updated_at": CREATED_AT, "first_name": "Ada"}
    body = json.dumps({"object": "event", "type": "user.created", "data": user, "timestamp": CREATED_AT})
    now = datetime.now(UTC)
    headers = {
        "svix-id": "msg_1",
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(SECRET).sign("msg_1", now, body),
    }

    async def visit() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            answer = await client.post("/webhooks/clerk", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
            assert (await client.get("/")).status_code == 200
            # Those for admins are mounted; what they need is not in this environment.
            assert (await client.get("/api/users")).json()["error"]["code"] == "not_set_up"

    asyncio.run(visit())
    assert functions.rows()["user_1"]["firstName"] == "Ada"
    logged = [record.getMessage() for record in caplog.records if record.name == "service"]
    assert logged == ["Welcome, user_1"]
