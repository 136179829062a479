"""Convex or Clerk is gone for a while: the page says so, keeps its data, and continues afterwards."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Route, expect

from clerk_convex.backfill import backfill
from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_invitations import send
from tests.support.functions import ROOT, start_again

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

DAY = 86_400_000
# Chromium's console error for an unreachable server.
UNREACHABLE = r"net::ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET)"


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    """A local set for each test, because parts of it stop."""
    with LocalStack(project=ROOT) as stack:
        yield stack


@pytest.fixture
def admin(visit: Visits, person: People) -> Visit:
    users = [person(f"Person {chr(65 + number)}", created_at=(number + 2) * DAY) for number in range(5)]
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY))
    admin.open()
    admin.expect_rows([*reversed(users), str(admin.user_id)])
    expect(connection(admin)).to_have_text("Live")
    admin.page.evaluate("window.isTheSame = true")
    return admin


def connection(visit: Visit) -> Locator:
    return visit.page.get_by_role("status").filter(has_text=re.compile("Live|Offline|Connecting"))


def fill(stack: LocalStack) -> None:
    """Run a backfill in a thread, because this thread has Playwright's event loop."""
    with ThreadPoolExecutor(1) as executor:
        report = executor.submit(lambda: asyncio.run(backfill(stack.settings))).result()
    assert report.ok


def lose_clerk(visit: Visit) -> None:
    """Block Clerk for this browser. Clerk keeps its sessions."""
    visit.context.route(lambda url: url.startswith(visit.stack.clerk.url), refuse)


def refuse(route: Route) -> None:
    route.abort("connectionrefused")


def test_convex_is_gone_and_comes_back(stack: LocalStack, admin: Visit) -> None:
    """The page is offline, with all its rows, and says so where something is missing. A press that
    began before is not withdrawn. Then the page is live again, with the changes of the
    meantime, without a reload."""
    admin.expect_complaints(UNREACHABLE)
    page = admin.page
    before = admin.shown()
    admin.row(before[1]).get_by_role("link").click()
    page.get_by_role("dialog").get_by_role("button", name="Ban", exact=True).hover()
    page.mouse.down()
    stack.convex.stop()
    expect(connection(admin)).to_contain_text("Offline")
    page.mouse.up()  # what was offered when the press began is done
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Ban", exact=True)).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Escape")
    assert admin.shown() == before
    admin.row(before[2]).get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_contain_text("this user was not loaded before")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox", name="Search users").fill("person c")
    waits = page.get_by_role("status").filter(has_text="What you asked for comes by itself")
    expect(waits).to_be_visible()
    assert admin.shown() == before
    page.get_by_role("searchbox", name="Search users").fill("")
    expect(waits).to_have_count(0)
    stack.clerk.update_user(before[0], first_name="Renata")
    start_again(stack.convex)
    fill(stack)
    expect(connection(admin)).to_have_text("Live")
    expect(admin.row(before[0])).to_contain_text("Renata")
    admin.expect_rows(before)
    assert admin.page.evaluate("window.isTheSame")


def test_what_is_open_when_convex_goes(stack: LocalStack, admin: Visit) -> None:
    """An export waits and says so, and ends when Convex is back. An editor keeps what was typed, and saves it
    then."""
    admin.expect_complaints(UNREACHABLE)
    page = admin.page
    before = admin.shown()
    admin.row(before[0]).get_by_role("link").click()
    page.get_by_role("button", name="Edit metadata").click()
    editor = page.get_by_role("dialog", name="Edit public metadata")
    editor.get_by_role("textbox", name="JSON").fill('{"plan": "gold"}')
    stack.convex.stop()
    save = editor.get_by_role("button", name="Save")
    expect(save).to_be_disabled()
    expect(save).to_have_accessible_description(re.compile("Convex cannot be reached"))
    start_again(stack.convex)
    fill(stack)
    expect(save).to_be_enabled()
    expect(editor.get_by_role("textbox", name="JSON")).to_have_value('{"plan": "gold"}')
    save.click()
    expect(editor).to_have_count(0)
    assert stack.clerk.get_user(before[0])["public_metadata"] == {"plan": "gold"}
    page.keyboard.press("Escape")

    stack.convex.stop()
    expect(connection(admin)).to_contain_text("Offline")
    page.get_by_role("button", name="Export as CSV").click()
    export = page.get_by_role("group", name="Export as CSV")
    waits = export.get_by_role("status").filter(has_text="comes by itself")
    expect(waits).to_be_visible()
    start_again(stack.convex)
    with page.expect_download() as download:
        fill(stack)
    assert download.value.path().read_text().count("\n") >= 1
    expect(waits).to_have_count(0)


def test_invitations_without_convex(stack: LocalStack, admin: Visit) -> None:
    """The list stays, and no invitation can be sent or revoked until Convex is back."""
    admin.expect_complaints(UNREACHABLE)
    page = admin.page
    send(stack, "new@example.com")
    page.get_by_role("link", name="Invitations").click()
    revoke = page.get_by_role("button", name="Revoke the invitation of new@example.com")
    expect(revoke).to_be_enabled()
    stack.convex.stop()
    invite = page.get_by_role("button", name="Invite", exact=True)
    for button in (revoke, invite):
        expect(button).to_be_disabled()
    expect(invite).to_have_accessible_description(re.compile("Convex cannot be reached"))
    expect(page.locator("[data-invitation-id]")).to_have_count(1)
    start_again(stack.convex)
    fill(stack)
    expect(revoke).to_be_enabled()
    revoke.click()
    page.get_by_role("button", name="Revoke invitation").click()
    expect(page.get_by_role("heading", name="No invitations")).to_be_visible()


def test_convex_is_gone_when_the_page_opens(stack: LocalStack, visit: Visits, person: People) -> None:
    """The page says that it waits. When Convex is back it shows the rows."""
    admin = visit(person("Ada Adminson", role="admin"))
    admin.expect_complaints(UNREACHABLE)
    stack.convex.stop()
    admin.open()
    expect(connection(admin)).to_contain_text("Offline")
    assert admin.shown() == []
    start_again(stack.convex)
    fill(stack)
    admin.expect_rows([str(admin.user_id)])


def test_clerk_is_gone(stack: LocalStack, admin: Visit) -> None:
    """The page does not need Clerk to show users: everything works, and there is no notice."""
    before = admin.shown()
    page = admin.page
    stack.clerk.close()
    box = page.get_by_role("searchbox", name="Search users")
    box.fill("person c")
    expect(admin.row(before[2])).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ match"))).to_be_visible()
    box.fill("")
    admin.expect_rows(before)
    page.get_by_role("columnheader", name="Name").get_by_role("button").click()
    admin.expect_rows([before[-1], *before[-2::-1]])
    admin.row(before[0]).get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_contain_text("Person E")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(connection(admin)).to_have_text("Live")
    assert page.evaluate("window.isTheSame")


def test_clerk_is_gone_longer_than_a_token_lives(stack: LocalStack, visit: Visits, person: People) -> None:
    """An outage of Clerk signs no user out: the rows stay, and new rows arrive when Clerk is back."""
    lifetime = stack.clerk.token_lifetime = 3
    admin = visit(person("Ada Adminson", role="admin"))
    admin.expect_complaints(UNREACHABLE)
    admin.open()
    admin.expect_rows([str(admin.user_id)])
    lose_clerk(admin)
    end = time.time() + lifetime
    admin.page.wait_for_event("requestfailed", lambda request: "/tokens" in request.url and time.time() > end)
    assert admin.shown() == [str(admin.user_id)]
    newcomer = person("Nova Newcomer")
    admin.context.unroute_all()
    admin.expect_rows([newcomer, str(admin.user_id)])


def test_clerk_is_gone_when_the_page_opens(visit: Visits, person: People) -> None:
    """It is unknown whether a user is signed in. The page waits, and opens when Clerk is back."""
    admin = visit(person("Ada Adminson", role="admin"))
    admin.expect_complaints(UNREACHABLE)
    lose_clerk(admin)
    with admin.page.expect_event("requestfailed", lambda request: "/v1/client" in request.url):
        admin.open()
    expect(admin.page.get_by_role("status").filter(has_text="Still waiting for Clerk")).to_be_attached()
    expect(admin.page.get_by_role("link", name="Sign in")).to_have_count(0)
    admin.context.unroute_all()
    admin.expect_rows([str(admin.user_id)])


def test_service_is_not_needed(stack: LocalStack, admin: Visit) -> None:
    """The page makes no request to the service after it was loaded."""
    asked: list[str] = []
    admin.page.on("request", lambda request: asked.append(request.url))
    admin.page.get_by_role("columnheader", name="Name").get_by_role("button").click()
    admin.row(admin.shown()[0]).get_by_role("link").click()
    expect(admin.page.get_by_role("dialog")).to_be_visible()
    assert [url for url in asked if url.startswith(stack.url)] == []
