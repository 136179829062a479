"""The example with Next.js is built, and the pages work within its layout, for visitors and for admins."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import expect

from benchmarks.ports import free_port
from clerk_convex.local.convex.deployment import _node
from tests.react.test_hosts import DAY, bundles, complaints_of, travel, use_local_clerk
from tests.support.functions import ROOT, eventually

if TYPE_CHECKING:
    from clerk_convex.local.stack import LocalStack
    from tests.support.browser import People, Visits

__all__ = ["bundles"]  # a fixture

pytest_plugins = ["tests.support.browser"]

EXAMPLE = ROOT / "examples" / "nextjs"
NEXT = ROOT / "node_modules" / "next" / "dist" / "bin" / "next"


@pytest.fixture
def app(chromium: str, stack: LocalStack) -> Iterator[str]:
    """Build the example for the shared local Convex, serve it, and return its address."""
    environment = {
        "PATH": os.pathsep.join([str(Path(_node()).parent), os.defpath]),
        "NEXT_TELEMETRY_DISABLED": "1",
        "SKIP_TYPES": "1",  # scripts/lint checks them
        "CLERK_CONVEX_SERVICE": stack.url,
        "NEXT_PUBLIC_CONVEX_URL": stack.convex.url,
        "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k",
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

        def is_up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(url, trust_env=False).status_code == 200
            return False

        try:
            assert eventually(lambda: is_up() or server.poll() is not None)
            assert server.poll() is None
            yield url
        finally:
            server.terminate()


def test_the_pages_are_part_of_the_app(
    app: str, bundles: Path, stack: LocalStack, visit: Visits, person: People
) -> None:
    """A visitor reads why there is nothing to see. The app keeps its look, its title and its navigation. An
    admin gets list, details, audit log and search, and acts through the app's own origin. React says nothing
    about what the server rendered."""
    bea = person("Bea Person", created_at=3 * DAY)
    cay = person("Cay Person", created_at=2 * DAY)
    visitor = visit()
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    for each in (visitor, admin):
        each.allow(app)
        use_local_clerk(each.context, bundles, stack)
    complaints = complaints_of(visitor)
    page = visitor.page
    page.goto(app)
    before = page.get_by_role("heading", name="Acme").evaluate("it => getComputedStyle(it).fontSize")
    page.get_by_role("link", name="Users").click()
    expect(page.get_by_role("heading", name="Sign in to see the users")).to_be_visible()
    expect(page).to_have_url(f"{app}/admin/users")
    expect(page).to_have_title("Acme")
    expect(page.get_by_role("banner")).to_have_count(0)
    page.get_by_role("link", name="Acme").click()
    heading = page.get_by_role("heading", name="Acme")
    expect(heading).to_be_visible()
    assert heading.evaluate("it => getComputedStyle(it).fontSize") == before == "30px"
    assert complaints == []

    complaints = complaints_of(admin)
    admin.page.goto(f"{app}/admin/users?q=cay")  # rendered by the server, and taken over in the browser
    admin.expect_rows([cay])
    admin.page.goto(f"{app}/admin/users")
    admin.expect_rows([bea, cay, str(admin.user_id)])
    travel(admin, f"{app}/admin", bea)
    assert complaints == []
    admin.page.goto(f"{app}/admin/users")
    admin.row(bea).get_by_role("button", name="Actions for").click()
    admin.page.get_by_role("menuitem", name=re.compile("^Ban")).click()
    admin.page.get_by_role("alertdialog").get_by_role("button", name=re.compile("^Ban")).click()
    expect(admin.row(bea)).to_contain_text("Banned")
    assert stack.clerk.get_user(bea)["banned"]
    admin.page.get_by_role("link", name="Invitations").first.click()
    expect(admin.page.get_by_role("heading", name="No invitations")).to_be_visible()
    assert complaints == []
