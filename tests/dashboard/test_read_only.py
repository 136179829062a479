"""The dashboard of an app that does not let admins act."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from clerk_convex.local import dashboard
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT

if TYPE_CHECKING:
    from tests.support.browser import People, Visits

pytest_plugins = ["tests.support.browser"]


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[LocalStack]:
    built = tmp_path_factory.mktemp("static")
    vite = ["node", "node_modules/vite/bin/vite.js", "build", "examples/dashboard", "--logLevel", "warn"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "VITE_CLERK_CONVEX_API": "off"}
    command = [*vite, "--outDir", str(built), "--emptyOutDir"]
    subprocess.run(command, cwd=ROOT, env=environ, timeout=120, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dashboard, "STATIC", built)
        with LocalStack(project=ROOT) as stack:
            yield stack


def test_page_only_reads(visit: Visits, person: People) -> None:
    """Built with VITE_CLERK_CONVEX_API=off it has no button and no column for actions, from the first
    moment."""
    ada = person("Ada Adminson", role="admin")
    admin = visit(ada)
    buttons = admin.page.get_by_role("button", name=re.compile("New user|Actions"), include_hidden=True)
    admin.intercept(lambda message, send: None)
    admin.open(user=ada)
    expect(admin.page.locator(".skeleton-row").first).to_be_visible()
    expect(buttons).to_have_count(0)
    expect(admin.page.locator(".col-actions")).to_have_count(0)

    reader = visit(ada)
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(request.url))
    reader.open(user=ada)
    details = reader.page.get_by_role("dialog", name="User")
    expect(details).to_contain_text("ada.adminson@example.com")
    expect(details.get_by_role("group", name="Actions")).to_have_count(0)
    reader.page.keyboard.press("Escape")
    expect(reader.row(ada)).to_be_visible()
    expect(reader.page.get_by_role("table", name="Users").get_by_role("columnheader")).to_have_count(6)
    expect(reader.page.get_by_role("button", name=re.compile("New user|Actions"))).to_have_count(0)
    assert not [url for url in asked if "/api/users" in url]
