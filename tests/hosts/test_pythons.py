"""The wheel works with the other supported Python versions.

A version that the machine lacks is skipped. A version that it has must be able to install the wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.managed import Managed
from tests.support.stand_in import DEPLOY_KEY, StandIn
from tests.webhook.test_route import SECRET

VERSIONS = ("3.12", "3.13", "3.14")
INSTALL = 300  # seconds; a machine may be busy

WEBHOOK = """
import asyncio, os, sys, time
from datetime import UTC, datetime
import httpx
from starlette.applications import Starlette
from svix.webhooks import Webhook
import clerk_convex

assert "site-packages" in clerk_convex.__file__, clerk_convex.__file__
assert sys.version.startswith(sys.argv[1]), sys.version
app = Starlette(routes=[clerk_convex.webhook_route(), clerk_convex.user_routes()])
user = '{"id": "user_1", "created_at": 1700000000000, "updated_at": 1700000000000}'
body = '{"type": "user.created", "data": %s}' % user
now = datetime.now(UTC)
headers = {
    "svix-id": "msg_1",
    "svix-timestamp": str(int(now.timestamp())),
    "svix-signature": Webhook(os.environ["CLERK_WEBHOOK_SIGNING_SECRET"]).sign("msg_1", now, body),
}

async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        answer = await client.post("/webhooks/clerk", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"outcome": "created"}), answer.text
        answer = await client.post("/webhooks/clerk", content=body + " ", headers=headers)
        assert answer.status_code == 400, answer.text
        answer = await client.get("/api/users")
        assert answer.json()["error"]["code"] == "no_token", answer.text

asyncio.run(main())
"""


def find(version: str) -> str | None:
    """Return a working Python of this version, from PATH or pyenv, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [shutil.which(f"python{version}"), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        # pyenv puts a shim on PATH also for versions that are not active, which only prints an error.
        run = subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False, timeout=30)
        if run.returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="session", params=VERSIONS)
def another(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the version and the path of a Python. Its scope is that of `wheel`, so the first argument is the
    first fixture, and no wheel is built for a Python that is not there."""
    version: str = request.param
    python = find(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    return version, python


def test_another_python(
    another: tuple[str, str], wheel: Path, managed: Managed, convex: StandIn, tmp_path: Path
) -> None:
    """A signed webhook is written, and the backfill makes Convex equal to Clerk. Warnings are errors."""
    version, python = another
    environment = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    there = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", there, "install", "--quiet", "--no-compile", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL)

    def run(settings: dict[str, str], *command: str) -> None:
        ran = subprocess.run(
            [there, "-W", "error", *command],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    stand_in = {
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        "CLERK_SECRET_KEY": "sk_test_" + "x" * 40,
        "CLERK_JWT_ISSUER_DOMAIN": "https://example.clerk.accounts.dev",
        "CONVEX_URL": convex.url,
        "CONVEX_DEPLOY_KEY": DEPLOY_KEY,
    }
    run(stand_in, "-c", WEBHOOK, version)
    assert [change["clerkId"] for call in convex.mutations for change in call.changes] == ["user_1"]

    managed.functions.clear()
    real = {
        "CLERK_SECRET_KEY": managed.clerk.secret_key,
        "CLERK_API_URL": managed.clerk.url,
        "CONVEX_URL": managed.convex.url,
        "CONVEX_DEPLOY_KEY": managed.convex.deploy_key,
    }
    run(real, "-m", "clerk_convex.backfill")
    run(real, "-m", "clerk_convex.backfill", "--verify")
    managed.assert_equal()
