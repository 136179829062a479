"""The example with Next.js is built, and the page works within its layout."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import Browser, expect

from clerk_convex.local.convex.deployment import _node
from clerk_convex.testing import LocalSet
from tests.support.functions import ROOT
from tests.support.servers import free_port

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage

pytest_plugins = ["tests.support.browser"]

EXAMPLE = ROOT / "examples" / "nextjs"
NEXT = ROOT / "node_modules" / "next" / "dist" / "bin" / "next"


@pytest.fixture
def app(chromium: str, clerk_convex: LocalSet) -> Iterator[str]:
    """Build the example for the shared local Convex, serve it, and return its address."""
    environment = {
        "PATH": os.pathsep.join([str(Path(_node()).parent), os.defpath]),
        "NEXT_TELEMETRY_DISABLED": "1",
        "NEXT_PUBLIC_CONVEX_URL": clerk_convex.convex.url,
    }
    command = [str(_node()), str(NEXT)]
    built = subprocess.run(
        [*command, "build"], cwd=EXAMPLE, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    port = free_port()
    with subprocess.Popen(
        [*command, "start", "--port", str(port), "--hostname", "127.0.0.1"],
        cwd=EXAMPLE,
        env=environment,
        stdout=subprocess.DEVNULL,
    ) as server:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
        server.terminate()


def test_the_page_is_part_of_the_app(app: str, browser: Browser) -> None:
    """Everyone reads why there is nothing to see. The app keeps its look, its title and its navigation."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    complaints: list[str] = []

    def note(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            complaints.append(said.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(app)
    before = page.get_by_role("heading", name="Acme").evaluate("it => getComputedStyle(it).fontSize")
    page.get_by_role("link", name="Users").click()
    expect(page.get_by_role("heading", name="Sign in to see the users")).to_be_visible()
    assert page.url == f"{app}/admin/users"
    expect(page).to_have_title("Acme")
    expect(page.get_by_role("banner")).to_have_count(0)
    page.get_by_role("link", name="Audit log").click()
    page.wait_for_url(f"{app}/admin/audit")
    page.go_back()
    page.get_by_role("link", name="Acme").click()
    heading = page.get_by_role("heading", name="Acme")
    assert heading.evaluate("it => getComputedStyle(it).fontSize") == before == "30px"
    page.goto(f"{app}/admin/users?status=banned")  # rendered by the server, and taken over in the browser
    expect(page.get_by_role("heading", name="Sign in to see the users")).to_be_visible()
    assert complaints == []
    page.close()
