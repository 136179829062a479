"""The pages in apps with other routers, and under React 18, signed in by Clerk's own provider."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import ConsoleMessage, Route, expect

from clerk_convex.local.convex.deployment import _node
from tests.support.functions import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from clerk_convex.local.stack import LocalStack
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

HOSTS = ROOT / "tests" / "react" / "hosts"
DAY = 86_400_000


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the script of each app, and with the stand-in for Clerk's."""
    folder = tmp_path_factory.mktemp("hosts")
    command = [str(_node()), str(HOSTS / "bundle.ts"), str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return folder


def use_local_clerk(context: BrowserContext, bundles: Path, stack: LocalStack) -> None:
    """Let @clerk/react find the local Clerk in this browser."""
    context.grant_permissions(["local-network-access"])  # a document of Playwright's comes from no network
    script = (bundles / "clerk.js").read_text()
    context.add_init_script(f"var clerkUrl = {json.dumps(stack.clerk.url)};\n{script}")


def complaints_of(visit: Visit) -> list[str]:
    """Return a list that gets the errors and warnings of the console."""
    found: list[str] = []

    def note(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            found.append(said.text)

    visit.page.on("console", note)
    visit.page.on("pageerror", lambda error: found.append(str(error)))
    return found


def travel(visit: Visit, base: str, bea: str) -> None:
    """Go through the list, the details, the audit log and a search, back and forth, and reload."""
    page = visit.page
    cay = visit.shown()[1]
    both = [bea, cay, str(visit.user_id)]
    visit.row(bea).get_by_role("link").click()
    details = page.get_by_role("dialog", name="User")
    expect(details).to_contain_text(bea)
    expect(page).to_have_url(f"{base}/users?user={bea}")
    page.go_back()
    expect(details).to_have_count(0)
    page.go_forward()
    expect(details).to_contain_text(bea)
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    expect(page).to_have_url(f"{base}/users")

    page.get_by_role("link", name="Audit log", exact=True).click()
    expect(page.get_by_role("table", name="Audit log")).to_contain_text("Bea Person")
    expect(page).to_have_url(f"{base}/audit")
    page.go_back()
    visit.expect_rows(both)

    page.get_by_role("searchbox", name="Search users").fill("cay")
    visit.expect_rows([cay])
    expect(page).to_have_url(f"{base}/users?q=cay")
    page.reload()
    visit.expect_rows([cay])
    expect(page.get_by_role("searchbox", name="Search users")).to_have_value("cay")


@pytest.mark.parametrize("host", ["history", "react-18", "react-router", "wouter"])
def test_the_pages_in_an_app(
    host: str, bundles: Path, stack: LocalStack, visit: Visits, person: People
) -> None:
    """The list, the details, the audit log and a search work, with the back button and after a reload, and
    React has nothing to say. Admins act through the service."""
    bea = person("Bea Person", created_at=3 * DAY)
    cay = person("Cay Person", created_at=2 * DAY)
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    path, base = f"/hosts/{host}", f"{stack.url}/hosts/{host}"
    scripts = {"/app.js": bundles / f"{host}.js", "/styles.css": ROOT / "react/dist/styles.css"}
    document = (
        f'<!doctype html><html lang="en" data-base="{path}" data-convex="{stack.convex.url}">'
        f'<title>Acme</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{path}/styles.css">'
        f'<div id="root"></div><script src="{path}/app.js"></script></html>'
    )

    def serve(route: Route) -> None:
        file = scripts.get(route.request.url.removeprefix(base))
        if file is None:
            route.fulfill(body=document, content_type="text/html")
        else:
            route.fulfill(path=file)

    admin.page.route(re.compile(f"^{re.escape(base)}/"), serve)
    use_local_clerk(admin.context, bundles, stack)
    complaints = complaints_of(admin)
    admin.open(f"{path}/users")
    admin.expect_rows([bea, cay, str(admin.user_id)])
    expect(admin.page.get_by_role("button", name="New user", exact=True)).to_be_enabled()
    version = {"react-18": "18"}.get(host, "19")
    assert admin.page.evaluate("document.documentElement.dataset.react").split(".")[0] == version
    travel(admin, base, bea)
    assert complaints == []
