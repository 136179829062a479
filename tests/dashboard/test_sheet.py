"""The details of a user: sessions, Sync now, and the way from user to user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, expect

from clerk_convex.local.clerk import Faults
from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_accessibility import NARROW, WIDE, press, settled, tab_to, violations
from tests.support.functions import Functions

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _no_faults(stack: LocalStack, confirmed_callers: None) -> Iterator[None]:
    """Set no faults after a test."""
    yield
    stack.clerk.faults = Faults()


@pytest.fixture
def bea(person: People) -> str:
    return person("Bea Person", created_at=3 * DAY)


@pytest.fixture
def cay(person: People) -> str:
    return person("Cay Person", created_at=2 * DAY)


@pytest.fixture
def admin(visit: Visits, person: People, bea: str, cay: str) -> Visit:
    """The page of Ada, an admin, with the list Bea, Cay, Ada."""
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    admin.open()
    admin.expect_rows([bea, cay, str(admin.user_id)])
    return admin


def sheet(admin: Visit) -> Locator:
    return admin.page.get_by_role("dialog", name="User")


def open_sheet(admin: Visit, user_id: str) -> Locator:
    admin.row(user_id).get_by_role("link").click()
    expect(sheet(admin)).to_contain_text(user_id)
    return sheet(admin)


def active(stack: LocalStack, user_id: str) -> int:
    return len(stack.clerk.sessions(user_id=user_id, status="active"))


def test_sessions(stack: LocalStack, admin: Visit, bea: str) -> None:
    """They are asked for on demand, with their devices. One is revoked, then all others. Cancel revokes none,
    and axe finds nothing."""
    for _ in range(3):
        stack.clerk.sign_in(bea)
    asked: list[str] = []
    admin.page.on(
        "request", lambda request: asked.append(request.url) if "/sessions" in request.url else None
    )
    details = open_sheet(admin, bea)
    assert asked == []
    details.get_by_role("button", name="Show sessions").click()
    items = details.get_by_role("region", name="Sessions").get_by_role("listitem")
    expect(items).to_have_count(3)
    expect(details.get_by_role("status").filter(has_text="3 sessions")).to_be_visible()
    expect(items.first).to_contain_text(re.compile(r"(Chrome|Safari|Firefox) \d+ on \w+.*Active now"))
    for viewport in (NARROW, WIDE):
        admin.page.set_viewport_size(viewport)
        for scheme in ("light", "dark"):
            admin.page.emulate_media(color_scheme=scheme)
            settled(admin.page)
            assert violations(admin.page) == [], (viewport, scheme)

    revoke = items.first.get_by_role("button", name=re.compile("^Revoke"))
    question = admin.page.get_by_role("alertdialog", name="Revoke session of Bea Person?")
    revoke.click()
    expect(question).to_have_accessible_description(re.compile("Signs the user out on .*within a minute"))
    admin.page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    assert active(stack, bea) == 3
    revoke.click()
    question.get_by_role("button", name="Revoke session").click()
    expect(items).to_have_count(2)
    expect(details.get_by_role("status").filter(has_text="1 session revoked")).to_be_visible()
    expect(details.get_by_role("group", name="Sessions")).to_be_focused()
    assert active(stack, bea) == 2

    details.get_by_role("button", name="Revoke all").click()
    admin.page.get_by_role("alertdialog").get_by_role("button", name="Revoke all sessions").click()
    expect(details.get_by_role("status").filter(has_text="2 sessions revoked")).to_be_visible()
    expect(details).to_contain_text("No active session")
    assert active(stack, bea) == 0
    actions = [(entry["action"], entry["clerkId"]) for entry in admin.ask("auditLog") if "action" in entry]
    assert actions == [(it, bea) for it in ("revoke_sessions", "revoke_session", "list_sessions")]


def test_sessions_that_cannot_be_had(stack: LocalStack, admin: Visit, cay: str) -> None:
    """The details have the reason and the request, and the same button asks again."""
    admin.expect_complaints("403")
    details = open_sheet(admin, cay)
    stack.clerk.faults = Faults(status=403, code="not_allowed", message="Not here.")
    details.get_by_role("button", name="Show sessions").click()
    alert = details.get_by_role("alert")
    expect(alert).to_contain_text(re.compile(r"Clerk.*Request req_\w+", re.DOTALL))
    expect(alert).not_to_contain_text("Nothing was changed")
    stack.clerk.faults = Faults()
    show = details.get_by_role("button", name="Show sessions")
    expect(show).to_be_enabled()
    show.click()
    expect(details).to_contain_text("No active session")
    expect(alert).to_have_count(0)


def test_sync_now(stack: LocalStack, admin: Visit, bea: str, cay: str) -> None:
    """Says whether something was missing here. A failure has its reason. The text belongs to one user."""
    admin.expect_complaints("403")
    details = open_sheet(admin, bea)
    button = details.get_by_role("button", name="Sync now")
    button.click()
    expect(details.get_by_role("status").filter(has_text="as Clerk has it")).to_be_visible()

    stack.clerk.faults = Faults(status=403, code="not_allowed", message="Not here.")
    button.click()
    expect(details.get_by_role("alert")).to_contain_text("Clerk")
    expect(details).not_to_contain_text("as Clerk has it")
    stack.clerk.faults = Faults()
    expect(button).to_be_enabled()
    details.get_by_role("button", name="Next user").click()
    expect(details).to_contain_text(cay)
    expect(details.get_by_role("alert")).to_have_count(0)


def test_sync_of_a_user_who_is_not_here(stack: LocalStack, admin: Visit, cay: str) -> None:
    """An id without a row has the button too: what Clerk knows arrives in the open details."""
    functions = Functions(stack.convex)
    with functions.http:
        assert functions.mutation("users:resetUser", {"clerkId": cay})
    admin.open(user=cay)
    details = sheet(admin)
    expect(details.get_by_role("heading", name="There is no such user")).to_be_visible()
    details.get_by_role("button", name="Sync now").click()
    expect(details.get_by_role("heading", name="Cay Person")).to_be_visible()
    expect(details.get_by_role("status").filter(has_text="was missing here")).to_be_visible()


def test_previous_and_next(stack: LocalStack, admin: Visit, bea: str, cay: str) -> None:
    """By button and by key, in the order of the list. The ends are off, the place is announced, the back
    button and Escape return to the list, and the focus goes to the user who was last."""
    details = open_sheet(admin, bea)
    previous = details.get_by_role("button", name="Previous user")
    following = details.get_by_role("button", name="Next user")
    place = details.get_by_role("status").filter(has_text=re.compile(r"\d of \d"))
    expect(previous).to_be_disabled()
    expect(place).to_have_text("Bea Person, 1 of 3")
    tab_to(admin.page, "Next user")
    admin.page.keyboard.press("Enter")
    expect(place).to_have_text("Cay Person, 2 of 3")
    expect(details).to_contain_text(cay)
    expect(following).to_be_focused()
    admin.page.keyboard.press("j")
    expect(details).to_contain_text(str(admin.user_id))
    expect(following).to_be_disabled()
    admin.page.keyboard.press("j")
    admin.page.keyboard.press("k")
    expect(details).to_contain_text(cay)

    stack.clerk.delete_user(cay)  # the next takes the place of the user who is gone
    expect(details.get_by_role("heading", name="Cay Person was deleted")).to_be_visible()
    expect(following).to_be_enabled()
    admin.page.keyboard.press("k")
    expect(place).to_have_text("Bea Person, 1 of 2")
    admin.page.keyboard.press("j")
    expect(details).to_contain_text(str(admin.user_id))
    press(admin.page, "Escape")
    expect(details).to_have_count(0)
    expect(admin.row(str(admin.user_id)).get_by_role("link")).to_be_focused()
    expect(admin.page).to_have_url(re.compile("/users$"))
