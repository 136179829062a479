"""Filters of the users page: choices, the URL, removable chips, counts and what is read out."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, expect

from clerk_convex.local.demo.people import UNVERIFIED
from tests.dashboard.test_accessibility import SMALL, WIDE, check_looks, press, tab_to

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]


def moment(text: str) -> int:
    """Return a time in UTC as Unix milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def people(person: People) -> dict[str, str]:
    """Bea: an editor, signed in long ago. Cay: a member, joined on New York's evening of March 9. Dot: no
    role, an unverified address."""
    unverified = [{"email_address": "dot@example.com", "verification": UNVERIFIED}]
    return {
        "Bea": person(
            "Bea Person",
            role="editor",
            created_at=moment("2024-03-12T12:00"),
            last_sign_in_at=moment("2024-05-01T12:00"),
        ),
        "Cay": person("Cay Person", role="member", created_at=moment("2024-03-10T03:00")),
        "Dot": person("Dot Person", created_at=moment("2024-03-08T12:00"), email_address=unverified),
    }


@pytest.fixture
def admin(visit: Visits, person: People, people: dict[str, str]) -> Visit:
    """The page of Ada, an admin, in New York. She is the newest user."""
    return visit(
        person("Ada Adminson", role="admin"), timezone_id="America/New_York", reduced_motion="reduce"
    )


def everyone(admin: Visit, people: dict[str, str]) -> list[str]:
    return [str(admin.user_id), *people.values()]


def panel(admin: Visit) -> Locator:
    return admin.page.get_by_role("dialog", name="Filters")


def opener(admin: Visit) -> Locator:
    return admin.page.get_by_role("button", name=re.compile("^Filter"))


def choose(admin: Visit, label: str, choice: str) -> None:
    panel(admin).get_by_label(label, exact=True).select_option(choice)


def chips(admin: Visit) -> Locator:
    return admin.page.get_by_role("list", name="Active filters").get_by_role("button")


def expect_query(admin: Visit, query: dict[str, str]) -> None:
    wanted = f"?{urlencode(query)}" if query else ""
    admin.page.wait_for_function("wanted => location.search === wanted", arg=wanted)


def said(admin: Visit, text: str) -> Locator:
    return admin.page.get_by_role("search").get_by_role("status").filter(has_text=re.compile(f"^{text}$"))


def expect_counts(admin: Visit, counts: str) -> None:
    """All, active, banned, deprovisioned, locked."""
    expect(admin.page.locator(".segment-count")).to_have_text(counts.split())


def test_choices(admin: Visit, people: dict[str, str]) -> None:
    """Each is applied at once, is in the URL, counts by status, is read out and can be removed. The back
    button undoes it, and a reload keeps it."""
    bea, cay, dot = people.values()
    admin.open()
    admin.expect_rows(everyone(admin, people))
    expect_counts(admin, "4 4 0 0 0")
    expect(admin.page.get_by_role("search").get_by_role("status")).to_have_text("")
    opener(admin).click()
    expect(panel(admin).get_by_label("Role", exact=True)).to_be_focused()

    for label, choice, found, query in [
        ("Role", "editor", [bea], {"role": "editor"}),
        ("Role", "No role", [dot], {"role": ""}),
        ("Role", "Any", everyone(admin, people), {}),
        ("Address", "Unverified", [dot], {"verified": "no"}),
        ("Address", "Any", everyone(admin, people), {}),
        ("Joined", "Last 7 days", [str(admin.user_id)], {"joined": "7d"}),
        ("Joined", "Any time", everyone(admin, people), {}),
        ("Last sign-in", "More than 90 days ago", [bea], {"signin": "before-90d"}),
        ("Last sign-in", "Last 7 days", [str(admin.user_id)], {"signin": "7d"}),
        ("Last sign-in", "Never", [cay, dot], {"signin": "never"}),
        ("Role", "member", [cay], {"signin": "never", "role": "member"}),
    ]:
        choose(admin, label, choice)
        admin.expect_rows(found)
        expect_query(admin, query)
    expect(said(admin, "1 user found")).to_be_attached()
    expect_counts(admin, "1 1 0 0 0")
    expect(admin.page.get_by_text("1 of 1")).to_be_visible()
    admin.page.go_back()
    admin.expect_rows([cay, dot])
    expect(said(admin, "2 users found")).to_be_attached()
    admin.page.go_forward()

    panel(admin).get_by_role("button", name="Done").click()
    expect(panel(admin)).to_have_count(0)
    expect(opener(admin)).to_be_focused()
    expect(opener(admin)).to_have_accessible_name("Filter 2 active")
    expect(chips(admin)).to_have_text(["Role member", "Last sign-in Never"])
    admin.page.reload()
    admin.expect_rows([cay])
    chips(admin).get_by_text("member").click()
    admin.expect_rows([cay, dot])
    expect(admin.page.get_by_role("button", name="Remove filter: Last sign-in Never")).to_be_focused()
    admin.page.get_by_role("button", name="Clear filters").click()
    admin.expect_rows(everyone(admin, people))
    expect(opener(admin)).to_be_focused()
    expect_query(admin, {})
    expect_counts(admin, "4 4 0 0 0")


def test_days_are_the_viewers(admin: Visit, people: dict[str, str]) -> None:
    """Both ends belong to the range. A first day after the last is not applied, and says so."""
    bea, cay, dot = people.values()
    admin.open()
    opener(admin).click()
    choose(admin, "Joined", "Dates…")
    admin.expect_rows(everyone(admin, people))
    first, last = (panel(admin).get_by_label(f"Joined: {name}") for name in ("From", "To"))
    first.fill("2024-03-09")
    admin.expect_rows([str(admin.user_id), bea, cay])
    last.fill("2024-03-09")
    admin.expect_rows([cay])
    expect_query(admin, {"joined": "2024-03-09..2024-03-09"})
    first.fill("2024-03-11")
    expect(panel(admin).get_by_role("alert")).to_have_text("The first day is after the last one.")
    expect(last).to_have_attribute("aria-invalid", "true")
    last.fill("2024-03-12")
    admin.expect_rows([bea])
    expect(panel(admin).get_by_role("alert")).to_have_count(0)
    first.fill("")
    admin.expect_rows([bea, cay, dot])
    expect(chips(admin)).to_have_text("Joined until Mar 12, 2024")
    panel(admin).get_by_role("button", name="Clear filters").click()
    admin.expect_rows(everyone(admin, people))


def test_another_role(admin: Visit, people: dict[str, str], person: People) -> None:
    """Any text is a role. It is applied after a pause, or with Enter."""
    owner = person("Eve Person", role="billing")
    admin.open(role="billing")
    admin.expect_rows([owner])
    opener(admin).click()
    other = panel(admin).get_by_label("Other role")
    expect(other).to_have_value("billing")
    other.fill("editor ")
    other.press("Enter")
    admin.expect_rows([people["Bea"]])
    expect(other).to_have_value("editor ")  # another word may follow
    other.fill("nobody")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    expect(admin.page.get_by_text("No user passes all filters that are on.")).to_be_visible()
    choose(admin, "Role", "Any")
    admin.expect_rows([owner, *everyone(admin, people)])


def test_a_search_within_filters(admin: Visit, people: dict[str, str], person: People) -> None:
    """The counts are those of both, and the number is read out. Diacritics do not matter, on either side, and
    a domain finds its users."""
    acme = person("José Müller", role="editor", email_address=["x@acme.com"])
    other = person("Jose Muller", banned=True, email_address=["y@mail.acme.com"])
    admin.open()
    box = admin.page.get_by_role("searchbox")
    for text, found in [
        ("jose muller", {acme, other}),
        ("JOSÉ MÜLLER", {acme, other}),
        ("@acme.com", {acme, other}),
        ("acme.com", {acme, other}),
        ("nobodyhasthis", set()),
        ("person", set(people.values())),
    ]:
        box.fill(text)
        expect(said(admin, f"{len(found)} users found")).to_be_attached()
        expect(admin.page.locator("[data-clerk-id]")).to_have_count(len(found))
        assert set(admin.shown()) == found, text
    box.fill("acme.com")
    expect(said(admin, "2 users found")).to_be_attached()
    expect_counts(admin, "2 1 1 0 0")
    opener(admin).click()
    choose(admin, "Role", "editor")
    admin.expect_rows([acme])
    expect_query(admin, {"q": "acme.com", "role": "editor"})
    expect(said(admin, "1 user found")).to_be_attached()


def test_by_keyboard_on_a_small_screen(admin: Visit, people: dict[str, str]) -> None:
    """The panel opens, is left and closed by keys, and the focus returns to its button. It fits a window of
    320 pixels with chips of long texts, and axe finds nothing."""
    admin.page.set_viewport_size(SMALL)
    admin.open(role="r" * 90, signin="2020-01-01..2030-12-31")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    page = admin.page
    tab_to(page, "Filter")
    page.keyboard.press("Enter")
    expect(panel(admin).get_by_label("Role", exact=True)).to_be_focused()
    for viewport in (SMALL, WIDE):
        check_looks(page, viewport, schemes=("light", "dark"))
        box = panel(admin).bounding_box()
        assert box is not None
        width = page.evaluate("document.documentElement.clientWidth")  # without the scroll bar
        assert 0 <= box["x"] <= width - box["width"]
        assert 0 <= box["y"] <= viewport["height"] - box["height"]
    page.keyboard.press("Escape")
    expect(panel(admin)).to_have_count(0)
    expect(opener(admin)).to_be_focused()

    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")  # to the button, which keeps it open
    expect(panel(admin)).to_be_visible()
    page.keyboard.press("Enter")
    expect(panel(admin)).to_have_count(0)
    opener(admin).click()
    opener(admin).click()
    expect(panel(admin)).to_have_count(0)
    opener(admin).click()
    tab_to(page, "Done")
    press(page, "Tab")
    expect(panel(admin)).to_have_count(0)
    check_looks(page, SMALL)


def test_counts_that_fail(admin: Visit, people: dict[str, str]) -> None:
    """The list is there without them."""

    def fail(message: dict[str, Any], send: Callable[[], None]) -> None:
        for change in message.get("modifications", []):
            value = change.get("value")
            if isinstance(value, list) and value and "isMore" in value[0]:
                change |= {"type": "QueryFailed", "errorMessage": "Server Error", "logLines": []}
                del change["value"]
        send()

    admin.intercept(fail)
    admin.open(role="editor")
    admin.expect_rows([people["Bea"]])
    expect(admin.page.get_by_role("search").get_by_role("status")).to_have_text("")
