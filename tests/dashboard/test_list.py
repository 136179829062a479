"""A long list: the document, subscriptions, the keyboard, the place that it keeps, and rows that wait."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Locator, WebSocket, expect

from clerk_convex.local.demo.scenario import begin
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

USERS = 400


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(project=ROOT) as stack:
        begin(stack, USERS, io.StringIO())
        yield stack


@pytest.fixture(scope="module")
def admin_id(stack: LocalStack) -> str:
    """An admin who is older than all others."""
    metadata = {"role": "admin"}
    made = stack.clerk.create_user(first_name="Ada", public_metadata=metadata, created_at=86_400_000)
    return str(made["id"])


@pytest.fixture
def admin(visit: Visits, admin_id: str) -> Visit:
    return visit(admin_id)


@pytest.fixture
def newcomers(stack: LocalStack) -> Iterator[People]:
    """Makes users, and deletes them afterwards."""
    from tests.support.browser import People

    before = {user["id"] for user in stack.clerk.users()}
    yield People(stack)
    for user in stack.clerk.users():
        if user["id"] not in before:
            stack.clerk.delete_user(user["id"])
    stack.clerk.webhooks.drain(30)


class Subscriptions:
    """The pages of the list that a browser subscribes to, by the messages that it sends."""

    def __init__(self, visit: Visit) -> None:
        self.pages: dict[int, Any] = {}
        self.most = 0
        self._page = visit.page
        visit.page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        self.pages.clear()
        socket.on("framesent", lambda payload: self._read(json.loads(payload)))

    def _read(self, message: dict[str, Any]) -> None:
        for change in message.get("modifications", []) if message["type"] == "ModifyQuerySet" else []:
            if change["type"] == "Remove":
                self.pages.pop(change["queryId"], None)
            elif "getUsers" in change["udfPath"]:
                self.pages[change["queryId"]] = change["args"][0]["paginationOpts"]
        self.most = max(self.most, len(self.pages))

    def expect_few(self) -> None:
        """Wait until the pages are those near the window and the first."""
        end = time.monotonic() + 60
        while not 1 <= len(self.pages) <= 5:
            assert time.monotonic() < end, self.pages
            self._page.wait_for_timeout(20)


def open_list(admin: Visit) -> list[str]:
    admin.open()
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(25)
    return admin.shown()


def pill(admin: Visit) -> Locator:
    return admin.page.get_by_role("button", name=re.compile(r"^\d+ (new|more) users?$"))


def index_of_focus(admin: Visit) -> int:
    """Return the position of the row with the focus, from 1."""
    row = "document.activeElement?.closest('tr')?.getAttribute('aria-rowindex')"
    return int(admin.page.evaluate(row) or 0) - 1


def test_document_and_subscriptions_are_bounded(stack: LocalStack, admin: Visit) -> None:
    """The whole list can be loaded by scrolling. The document has the rows near the window, and of
    the pages only those are subscribed, and the first."""
    subscriptions = Subscriptions(admin)
    open_list(admin)
    total = len(stack.clerk.users())
    admin.load_all()
    expect(admin.page.get_by_text(f"{total} of {total}")).to_be_visible()
    table = admin.page.get_by_role("table", name="Users")
    expect(table).to_have_attribute("aria-rowcount", str(total + 1))
    for row in (0, total // 2, total):
        admin.page.evaluate("row => scrollTo(0, row * 52)", row)
        admin.page.wait_for_function(
            "row => [...document.querySelectorAll('[data-clerk-id]')]"
            ".some(it => Math.abs(it.getAttribute('aria-rowindex') - row) < 15)",
            arg=row,
        )
        assert admin.page.locator("[data-clerk-id]").count() <= 80
        subscriptions.expect_few()
    assert any(page["cursor"] is None for page in subscriptions.pages.values())
    assert subscriptions.most <= 8


def test_a_change_far_away_is_there_when_one_returns(stack: LocalStack, admin: Visit) -> None:
    """A page without a subscription shows what changed as soon as the window comes back to it."""
    open_list(admin)
    admin.load_all()
    admin.page.evaluate("scrollTo(0, 200 * 52)")
    row = admin.page.locator('[data-clerk-id][aria-rowindex="201"]')
    user_id = row.get_attribute("data-clerk-id") or ""
    admin.page.evaluate("scrollTo(0, 0)")
    expect(admin.row(user_id)).to_have_count(0)
    stack.clerk.update_user(user_id, first_name="Renata")
    stack.clerk.webhooks.drain(30)
    admin.page.evaluate("scrollTo(0, 200 * 52)")
    expect(admin.row(user_id)).to_contain_text("Renata")


def test_keys_go_through_all_rows(admin: Visit) -> None:
    """Arrows, Home, End, PageUp and PageDown move the focus, also to rows that are not in the
    document, and never below the head or out of the window."""
    open_list(admin)
    admin.load_all()
    admin.page.locator("[data-clerk-id]").first.get_by_role("link").focus()
    press = admin.page.keyboard.press
    press("ArrowDown")
    assert index_of_focus(admin) == 2
    press("PageDown")
    page = index_of_focus(admin) - 2
    assert 5 < page < 20
    press("PageUp")
    assert index_of_focus(admin) <= 2  # the totals above the list leave room for fewer rows
    press("End")
    admin.page.wait_for_function(
        f"{USERS} < document.activeElement.closest('tr')?.getAttribute('aria-rowindex')"
    )
    last = index_of_focus(admin)
    press("ArrowUp")
    assert index_of_focus(admin) == last - 1
    box = admin.page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
    assert 90 < box["top"] < box["bottom"] < 800
    press("Home")
    admin.page.wait_for_function(
        "document.activeElement.closest('tr')?.getAttribute('aria-rowindex') === '2'"
    )
    admin.page.evaluate("scrollTo(0, 200 * 52)")
    expect(admin.page.locator('[aria-rowindex="201"]')).to_be_visible()
    assert index_of_focus(admin) == 1  # the row with the focus stays in the document
    press("Enter")
    expect(admin.page.get_by_role("dialog")).to_be_visible()


def first_in_window(admin: Visit) -> list[Any]:
    """Return the id and the place of a row in the middle of the window."""
    rows = (
        "[...document.querySelectorAll('[data-clerk-id]')].map(it => [it.dataset.clerkId,"
        " Math.round(it.getBoundingClientRect().top)]).find(([, top]) => top > 200)"
    )
    return admin.page.evaluate(rows)  # type: ignore[no-any-return]


def test_place_survives_back_and_reload(admin: Visit) -> None:
    """From the details, from the audit log and after a reload the list is where it was, row by row.
    A link to it leads to its top."""
    open_list(admin)
    admin.load_more()
    admin.page.evaluate("scrollTo(0, 2500)")
    expect(admin.page.locator('[aria-rowindex="50"]')).to_be_visible()
    place = first_in_window(admin)
    same = (
        "([id, top]) => Math.abs(document.querySelector(`[data-clerk-id='${id}']`)"
        "?.getBoundingClientRect().top - top) < 3"
    )
    admin.row(place[0]).get_by_role("link").click()
    expect(admin.page.get_by_role("dialog")).to_be_visible()
    admin.page.keyboard.press("Escape")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    admin.page.wait_for_function(same, arg=place)
    admin.page.evaluate("window.isTheSame = true")
    admin.page.get_by_role("link", name="Audit log", exact=True).click()
    expect(admin.page.get_by_role("table", name="Audit log")).to_be_visible()
    admin.page.go_back()
    admin.page.wait_for_function(same, arg=place)
    assert admin.page.evaluate("window.isTheSame")
    admin.page.reload()
    admin.page.wait_for_function(same, arg=place)
    admin.page.get_by_role("link", name="Audit log", exact=True).click()
    admin.page.get_by_role("link", name="Users", exact=True).click()
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(25)
    assert admin.page.evaluate("scrollY") < 100


def test_new_users_wait_under_the_pointer(admin: Visit, newcomers: People) -> None:
    """They are counted, the rows stay, and a key shows them. Without the pointer the next one comes
    at once."""
    before = open_list(admin)
    admin.row(before[3]).hover()
    one, other = newcomers("Nova One"), newcomers("Nova Two")
    expect(pill(admin)).to_have_text("2 new users")
    assert admin.shown() == before
    admin.page.keyboard.press(".")
    admin.expect_rows([other, one, *before])
    expect(pill(admin)).to_have_count(0)
    expect(admin.page.get_by_text("2 new rows are shown.")).to_be_visible()
    admin.page.mouse.move(0, 0)
    third = newcomers("Nova Three")
    admin.expect_rows([third, other, one, *before])


def test_new_users_wait_above_the_window(stack: LocalStack, admin: Visit, newcomers: People) -> None:
    """In a scrolled list they wait, a deletion above the window moves no row in it, and the pill
    leads to them."""
    before = open_list(admin)
    admin.page.evaluate("scrollTo(0, 900)")
    admin.page.wait_for_timeout(50)
    admin.load_more()
    victim = newcomers("Vera Victim")
    expect(pill(admin)).to_have_text("1 new user")
    place = first_in_window(admin)
    newcomer = newcomers("Nova Newcomer")
    expect(pill(admin)).to_have_text("2 new users")
    stack.clerk.delete_user(victim)
    expect(pill(admin)).to_have_text("1 new user")
    assert first_in_window(admin) == place
    pill(admin).focus()
    admin.page.keyboard.press("Enter")
    expect(admin.row(newcomer).get_by_role("link")).to_be_focused()
    assert admin.shown()[:2] == [newcomer, before[0]]


def test_deleted_user_under_the_pointer(stack: LocalStack, admin: Visit, newcomers: People) -> None:
    """The row says at once that it is no longer there, and no other row moves until the pointer leaves."""
    user_id = newcomers("Dora Deleted")
    stack.clerk.webhooks.drain(30)
    before = open_list(admin)
    assert before[0] == user_id
    admin.row(before[2]).hover()
    place = admin.row(before[2]).bounding_box()
    stack.clerk.delete_user(user_id)
    expect(
        admin.page.get_by_role("row", name=re.compile("Dora Deleted No longer in this list"))
    ).to_be_visible()
    assert admin.row(before[2]).bounding_box() == place
    admin.page.mouse.move(0, 0)
    expect(admin.page.get_by_text("No longer in this list")).to_have_count(0)
    assert admin.shown()[:2] == before[1:3]


def test_menu_of_a_user_who_is_gone_closes(stack: LocalStack, admin: Visit, newcomers: People) -> None:
    """It closes with a note, and the focus is in the next row. New users wait while a menu is open."""
    user_id = newcomers("Dora Deleted")
    stack.clerk.webhooks.drain(30)
    open_list(admin)
    admin.row(user_id).get_by_role("button", name="Actions for Dora Deleted").focus()
    admin.page.keyboard.press("Enter")
    expect(admin.page.get_by_role("menu")).to_be_visible()
    newcomers("Nova Newcomer")
    expect(pill(admin)).to_have_text("1 new user")
    stack.clerk.delete_user(user_id)
    expect(admin.page.get_by_role("menu")).to_have_count(0)
    note = admin.page.get_by_role("status").filter(has_text="Dora Deleted is no longer in this list")
    expect(note).to_be_visible()
    expect(pill(admin)).to_have_count(0)
    focused = admin.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert re.match("Actions for", focused or ""), focused
