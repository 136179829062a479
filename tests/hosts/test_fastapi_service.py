"""examples/fastapi: the service of a team, as a real server beside a local Clerk and a local Convex."""

from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from clerk_convex.errors import SettingsError
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.convex import LocalConvex
from examples.fastapi.settings import AppSettings
from tests.support.functions import ROOT, Functions
from tests.support.servers import serve


def test_fastapi_service() -> None:
    """A user signs up at Clerk, the webhook brings the row, the user reads it, and an admin bans the user."""
    with LocalClerk(rate_limit=0) as clerk:
        environment = {"CLERK_JWT_ISSUER_DOMAIN": clerk.issuer}
        with LocalConvex(project=ROOT, env=environment) as convex:
            functions = Functions(convex, clerk)
            with functions.http:
                check_fastapi_service(functions, clerk)


def check_fastapi_service(deployment: Functions, clerk: LocalClerk) -> None:
    settings = {
        "CONVEX_URL": deployment.convex.url,
        "CONVEX_DEPLOY_KEY": deployment.convex.deploy_key,
        "CLERK_WEBHOOK_SIGNING_SECRET": clerk.webhook_secret,
        "CLERK_SECRET_KEY": clerk.secret_key,
        "CLERK_JWT_ISSUER_DOMAIN": clerk.issuer,
        "CLERK_API_URL": clerk.url,
    }
    command = ("uvicorn", "--factory", "--port=PORT", "examples.fastapi.main:create_app")
    with serve(command, settings, probe="/v1/") as server:
        clerk.webhooks.add_endpoint(f"{server.url}/v1/webhooks/clerk", clerk.webhook_secret)
        ada = clerk.create_user(first_name="Ada", public_metadata={"role": "admin"})["id"]
        grace = clerk.create_user(first_name="Grace")["id"]
        assert clerk.webhooks.drain(30)
        assert {row["firstName"] for row in deployment.rows().values()} == {"Ada", "Grace"}

        def token(user_id: str) -> dict[str, str]:
            session = clerk.session_token(clerk.sign_in(user_id)["id"])
            return {"Authorization": f"Bearer {session}"}

        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            assert client.get("/v1/").json() == {"name": "Orchard"}
            me = client.get("/v1/me", headers=token(grace))
            assert me.json() == {"id": grace, "first_name": "Grace", "is_admin": False}
            assert client.get("/v1/me").status_code == 401
            assert client.get("/v1/me", headers={"Authorization": "Bearer no.token"}).status_code == 401
            stranger = clerk.session_token(clerk.sign_in(grace)["id"], claims={"sub": "user_stranger"})
            answer = client.get("/v1/me", headers={"Authorization": f"Bearer {stranger}"})
            assert (answer.status_code, answer.json()["detail"]) == (404, "Your account is not synced.")
            banned = client.post(f"/v1/api/users/{grace}/ban", headers=token(ada))
            assert (banned.status_code, banned.json()["synced"]) == (200, True)
            assert deployment.rows()[grace]["status"] == "banned"
        assert server.stop() < 15
        assert f"Welcome, {ada}" in server.output
        assert "Traceback" not in server.output, server.output


def test_fastapi_settings_quote_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A setting that is missing or malformed is named, and the others are not quoted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_test_private")
    with pytest.raises(ValidationError, match="convex_url") as missing:
        AppSettings()  # type: ignore[call-arg]
    assert "private" not in str(missing.value)
    values = dict.fromkeys(AppSettings.model_fields, "private")
    with pytest.raises(SettingsError, match="CONVEX_URL is not a URL") as malformed:
        AppSettings.model_validate(values).for_clerk_convex()
    assert "private" not in str(malformed.value)
