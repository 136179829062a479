"""The examples that readers copy work."""

import asyncio
import contextlib
import json
import logging
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from svix.webhooks import Webhook

from benchmarks.ports import free_port
from clerk_convex.local.env_file import EnvFile
from examples import service
from examples.service import app
from tests.support.functions import CREATED_AT, ROOT, Functions, eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def event() -> tuple[str, dict[str, str]]:
    """A signed webhook."""
    user = {"id": "user_1", "created_at": CREATED_AT, "updated_at": CREATED_AT, "first_name": "Ada"}
    body = json.dumps({"object": "event", "type": "user.created", "data": user, "timestamp": CREATED_AT})
    now = datetime.now(UTC)
    signature = Webhook(SECRET).sign("msg_1", now, body)
    return body, {
        "svix-id": "msg_1",
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": signature,
    }


def test_service_writes_an_event_and_says_welcome(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A signed event becomes a row in Convex, in a service that has pages of its own."""
    monkeypatch.delenv("CLERK_SECRET_KEY", raising=False)
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
    monkeypatch.setenv("CONVEX_URL", functions.convex.url)
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", functions.convex.deploy_key)
    caplog.set_level(logging.INFO, "service")
    body, headers = event()

    async def visit() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            answer = await client.post("/webhooks/clerk", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
            assert (await client.get("/")).status_code == 200
            # The admin routes are mounted, but this environment lacks their settings.
            assert (await client.get("/api/users")).json()["error"]["code"] == "not_set_up"

    asyncio.run(visit())
    assert functions.rows()["user_1"]["firstName"] == "Ada"
    logged = [record.getMessage() for record in caplog.records if record.name == "service"]
    assert logged == ["Welcome, user_1"]


def test_service_runs_as_its_docstring_says(functions: Functions, tmp_path: Path) -> None:
    """With the settings in the file of a local set, and with a deploy key that has a | in it."""
    (command,) = (line for line in str(service.__doc__).splitlines() if "uvicorn --env-file" in line)
    program, *arguments = shlex.split(command)
    settings = {
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        "CONVEX_URL": functions.convex.url,
        "CONVEX_DEPLOY_KEY": functions.convex.deploy_key,
    }
    file = tmp_path / arguments[arguments.index("--env-file") + 1]
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url, trust_env=False).status_code == 200
        return False

    with EnvFile(file) as env_file:
        env_file.write(settings)
        with subprocess.Popen(
            [sys.executable, "-m", program, *arguments, "--app-dir", str(ROOT), "--port", str(port)],
            cwd=tmp_path,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert eventually(lambda: is_up() or process.poll() is not None)
                assert process.poll() is None, process.communicate()[1]
                body, headers = event()
                answer = httpx.post(f"{url}/webhooks/clerk", content=body, headers=headers, trust_env=False)
                assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
            finally:
                process.terminate()
                process.communicate()
    assert functions.rows().keys() == {"user_1"}
