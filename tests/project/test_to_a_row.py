"""From an existing project to a row: clerk-convex init, npx convex deploy, clerk-convex backfill."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from clerk_convex.cli import main
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT, Functions
from tests.support.team import OWN_PROJECT

NAMES = ("--module", "clerkUsers", "--table", "clerkUsers")


def test_three_commands_and_no_edited_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The team has a users.ts, a users table, crons and another provider of tokens. All of it still works."""
    (tmp_path / "convex").mkdir()
    for name, text in OWN_PROJECT.items():
        (tmp_path / "convex" / name).write_text(text)
    # `npx convex deploy` writes these; at run time they are the same for every project.
    shutil.copytree(ROOT / "convex/_generated", tmp_path / "convex/_generated")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--write", *NAMES]) == 0
    assert "Next: set CONVEX_USERS_MODULE=clerkUsers for the service" in capsys.readouterr().out

    monkeypatch.setenv("CONVEX_USERS_MODULE", "clerkUsers")
    with LocalStack(project=tmp_path, connected=False) as stack:  # npx convex deploy
        stack.clerk.create_user(first_name="Ada", public_metadata={"role": "admin"})
        for name, value in stack.environment().items():
            monkeypatch.setenv(name, value)
        assert main(["backfill", "--quiet"]) == 0
        assert main(["backfill", "--verify", "--quiet"]) == 0
        assert "Equal: 1 user in Clerk, 1 rows in Convex." in capsys.readouterr().out
        functions = Functions(stack.convex)
        with functions.http:
            page = {"paginationOpts": {"numItems": 5, "cursor": None}}
            (row,) = functions.query("clerkUsers:exportUsers", page)["page"]
            assert row["firstName"] == "Ada"
            assert functions.query("users:first", {}) is None
        session = stack.clerk.sign_in(row["clerkId"])
        token = stack.clerk.session_token(session["id"])
        body = {"path": "clerkUsers:currentUser", "args": {}, "format": "json"}
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(
            f"{stack.convex.url}/api/query", json=body, headers=headers, trust_env=False
        ).json()
        assert answer["value"]["state"] == "synced", answer
