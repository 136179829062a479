"""The page of the invitations to the app, which Clerk keeps and Convex does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import Locator, Route, expect

from clerk_convex.local.clerk import Faults
from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_accessibility import SMALL, WIDE, check_looks, press, tab_to

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

PATH = "/dashboard/invitations"


@pytest.fixture(autouse=True)
def _no_faults(stack: LocalStack, confirmed_callers: None) -> Iterator[None]:
    yield
    stack.clerk.faults = Faults()


@pytest.fixture
def admin(visit: Visits, person: People) -> Visit:
    return visit(person("Ada Adminson", role="admin"))


def send(stack: LocalStack, *addresses: str, **fields: Any) -> None:
    """Invite at Clerk, past the service."""
    headers = {"Authorization": f"Bearer {stack.clerk.secret_key}"}
    with httpx.Client(base_url=f"{stack.clerk.url}/v1", headers=headers, trust_env=False) as client:
        for address in addresses:
            response = client.post("/invitations", json={"email_address": address, **fields})
            assert response.status_code == 200, response.text


def invitation(admin: Visit, address: str) -> Locator:
    return admin.page.locator("[data-invitation-id]").filter(has_text=address)


def invite(admin: Visit, address: str) -> Locator:
    admin.page.get_by_role("button", name="Invite", exact=True).click()
    form = admin.page.get_by_role("dialog", name="Invite a user")
    form.get_by_label("Email").fill(address)
    form.get_by_role("button", name="Send invitation").click()
    return form


def test_invite_list_and_revoke(stack: LocalStack, admin: Visit) -> None:
    """By keyboard, from the empty list on. The list is new after each change; the link is not on the page."""
    admin.open()
    tab_to(admin.page, "Invitations")
    admin.page.keyboard.press("Enter")
    expect(admin.page.get_by_role("heading", name="No invitations")).to_be_visible()
    expect(admin.page).to_have_title("Invitations")
    tab_to(admin.page, "Invite$")
    admin.page.keyboard.press("Enter")
    form = admin.page.get_by_role("dialog", name="Invite a user")
    expect(form.get_by_label("Email")).to_be_focused()
    admin.page.keyboard.type("new@example.com")
    form.get_by_role("button", name="editor").click()
    form.get_by_label("Days until it ends").fill("3e")
    form.get_by_label("Email").press("Enter")
    expect(form.get_by_role("alert")).to_contain_text("must be a whole number")
    form.get_by_label("Days until it ends").fill("7")
    form.get_by_label("Email").press("Enter")
    expect(form).to_have_count(0)
    expect(admin.page.get_by_text("new@example.com was invited.")).to_be_visible()
    row = invitation(admin, "new@example.com")
    expect(row).to_contain_text(re.compile("Pending.*role editor.*sent.*ends in [67]"))
    expect(admin.page.get_by_role("status").filter(has_text="1 invitation")).to_be_visible()

    tab_to(admin.page, "Revoke the invitation of new@example.com")
    admin.page.keyboard.press("Enter")
    question = admin.page.get_by_role("alertdialog", name="Revoke the invitation of new@example.com?")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    press(admin.page, "Tab")
    admin.page.keyboard.press("Enter")
    expect(admin.page.get_by_text("The invitation of new@example.com was revoked.")).to_be_visible()
    expect(admin.page.get_by_role("heading", name="No invitations")).to_be_visible()
    admin.page.get_by_role("combobox", name="Status").select_option("Revoked")
    expect(admin.page).to_have_url(re.compile(r"/invitations\?status=revoked$"))
    expect(row).to_contain_text("Revoked")
    expect(row.get_by_role("button")).to_have_count(0)
    admin.page.go_back()
    expect(row).to_have_count(0)
    assert "ticket" not in admin.received()


def test_filters_and_pages(stack: LocalStack, admin: Visit) -> None:
    """The address and the status are in the URL. More are loaded by the button."""
    send(stack, *(f"person{number:02}@example.com" for number in range(60)))
    admin.open(PATH)
    rows = admin.page.locator("[data-invitation-id]")
    expect(rows).to_have_count(50)
    expect(admin.page.get_by_role("status").filter(has_text="50 invitations, and more")).to_be_visible()
    admin.load_more()
    expect(rows).to_have_count(60)
    expect(admin.page.get_by_role("button", name="Load more")).to_have_count(0)
    send(stack, "late@example.com")
    admin.page.get_by_role("button", name="Refresh").click()
    expect(rows.first).to_contain_text("late@example.com")
    search = admin.page.get_by_role("searchbox", name="Search invitations")
    search.fill("person07")
    search.press("Enter")
    expect(rows).to_have_count(1)
    expect(admin.page).to_have_url(re.compile(r"\?q=person07$"))
    expect(search).to_be_focused()
    search.press_sequentially("7")
    search.press("Backspace")
    search.press("Tab")  # nothing new, so no other step in the history
    admin.page.go_back()
    expect(search).to_have_value("")
    expect(rows).to_have_count(50)
    search.fill("person08")
    search.press("Tab")
    expect(rows).to_have_count(1)
    search.fill("")
    expect(rows).to_have_count(50)
    admin.open(PATH, q="nobody", status="lost")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    admin.page.get_by_role("button", name="Clear filters").click()
    expect(rows).to_have_count(50)
    expect(search).to_be_focused()


def test_refusals_of_clerk(stack: LocalStack, admin: Visit) -> None:
    """They are at the field, and the form keeps what was typed."""
    admin.expect_complaints("400", "422")
    send(stack, "new@example.com")
    admin.open()
    expect(admin.row(str(admin.user_id))).to_be_visible()
    for address, words in (
        ("", "An email address is needed."),
        ("new@", "not an email address"),
        ("new@example.com", "already pending invitations"),
        ("ada.adminson@example.com", "has this email address already"),
    ):
        form = invite(admin, address)
        expect(form).to_contain_text(words)
        expect(form.get_by_label("Email")).to_have_value(address)
        form.get_by_role("button", name="Cancel").click()


def test_plan_without_invitations(stack: LocalStack, admin: Visit) -> None:
    """The page says why there is no list, and the button asks again."""
    admin.expect_complaints("402")
    stack.clerk.faults = Faults(status=402, code="unsupported_subscription_plan_features")
    admin.open(PATH)
    expect(admin.page.get_by_role("alert")).to_contain_text("plan does not include this")
    expect(admin.page.locator("[data-invitation-id]")).to_have_count(0)
    stack.clerk.faults = Faults()
    admin.page.get_by_role("button", name="Refresh").click()
    expect(admin.page.get_by_role("heading", name="No invitations")).to_be_visible()
    expect(admin.page.get_by_role("alert")).to_have_count(0)


def test_too_many_calls(admin: Visit) -> None:
    """The button says when it can ask again, and does nothing until then."""
    admin.expect_complaints("503")
    refusal = {"error": {"code": "clerk_too_busy", "message": "Clerk is too busy.", "retry_after": 30}}
    calls: list[str] = []

    def refuse(route: Route) -> None:
        calls.append(route.request.url)
        route.fulfill(status=503, json=refusal)

    admin.page.route(re.compile("/api/users"), refuse)
    admin.open(PATH)
    expect(admin.page.get_by_role("alert")).to_contain_text("Clerk is too busy.")
    again = admin.page.get_by_role("button", name=re.compile(r"^Retry in \d+ s$"))
    expect(again).to_be_disabled()
    again.dispatch_event("click")
    assert len(calls) == 1


def test_service_is_down(stack: LocalStack, admin: Visit) -> None:
    """The invitations shown stay, and the page says why it has no newer ones."""
    admin.expect_complaints("net::ERR_FAILED")
    send(stack, "new@example.com")
    admin.open(PATH)
    row = invitation(admin, "new@example.com")
    expect(row).to_be_visible()
    admin.page.route(re.compile("/api/users"), lambda route: route.abort())
    admin.page.get_by_role("button", name="Refresh").click()
    expect(admin.page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    expect(row).to_be_visible()
    # Rows of one status are not shown as those of another, nor mixed with them.
    admin.page.get_by_role("combobox", name="Status").select_option("Accepted")
    expect(row).to_have_count(0)
    expect(admin.page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    expect(admin.page.get_by_role("heading", name="No match")).to_have_count(0)
    admin.page.unroute(re.compile("/api/users"))
    admin.page.get_by_role("combobox", name="Status").select_option("Pending")
    expect(row).to_be_visible()


def test_axe_finds_nothing(stack: LocalStack, admin: Visit) -> None:
    """In light and dark, wide and at 320 px, with long addresses."""
    send(stack, f"{'a' * 60}@{'b' * 60}.example.com", public_metadata={"role": "r" * 90})
    admin.open(PATH)
    expect(admin.page.locator("[data-invitation-id]")).to_have_count(1)
    check_looks(admin.page, WIDE, SMALL, schemes=("light", "dark"))
