"""The audit log: live updates, filters and links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import Locator, expect

from clerk_convex.local.stack import LocalStack

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]


@pytest.fixture
def bea(person: People) -> str:
    return person("Bea Person")


@pytest.fixture
def admin(visit: Visits, person: People, bea: str) -> Visit:
    return visit(person("Adele Adminson", role="admin"))


def entries(admin: Visit) -> Locator:
    """Return the rows of the table without its header."""
    return admin.page.get_by_role("row").filter(has=admin.page.get_by_role("cell"))


def test_change_appears_by_itself(stack: LocalStack, admin: Visit, bea: str) -> None:
    """On top: the outcome, the user and the changed fields, never their values."""
    admin.open("/dashboard/audit")
    expect(entries(admin).first).to_be_visible()
    stack.clerk.update_user(bea, last_name="Seldomheard")
    first = entries(admin).first
    expect(first).to_contain_text(re.compile(r"Updated.*Bea Seldomheard.*lastName.*Webhook"))
    stack.clerk.delete_user(bea)
    expect(first).to_contain_text("Deleted")
    expect(first).to_contain_text(bea)
    expect(admin.page.get_by_text("Seldomheard")).to_have_count(0)


def test_admin_who_acted_is_named(stack: LocalStack, admin: Visit, bea: str) -> None:
    """An action has the admin's name, and its age to the second, because the order matters there."""
    session = stack.clerk.sign_in(str(admin.user_id))
    headers = {"Authorization": f"Bearer {stack.clerk.session_token(session['id'])}"}
    url = f"{stack.url}/api/users/{bea}/lock"
    assert httpx.post(url, headers=headers, trust_env=False).status_code == 200
    admin.page.add_init_script("{ const { now } = Date; Date.now = () => now() + 20_000; }")
    admin.open("/dashboard/audit", outcome="done")
    entry = entries(admin).first
    expect(entry).to_contain_text("Adele Adminson")
    expect(entry.get_by_role("time")).to_have_text(re.compile(r"^[2-5]\ds ago$"))


def test_filters(stack: LocalStack, admin: Visit, bea: str) -> None:
    """By user and by outcome. They are in the URL, and a filtered log is live too."""
    stack.clerk.ban(bea)
    stack.clerk.webhooks.drain(30)
    admin.open("/dashboard/audit")
    page = admin.page
    entries(admin).filter(has_text="Bea Person").first.get_by_role("link").click()
    expect(page).to_have_url(re.compile(rf"/audit\?user={bea}$"))
    expect(entries(admin)).to_have_count(2)
    page.get_by_role("combobox", name="Outcome").select_option(label="Updated")
    expect(page).to_have_url(re.compile(rf"/audit\?user={bea}&outcome=updated$"))
    expect(entries(admin)).to_have_count(1)
    stack.clerk.unban(bea)
    expect(entries(admin)).to_have_count(2)
    page.get_by_role("searchbox", name="User id").fill("")
    expect(page).to_have_url(re.compile(r"/audit\?outcome=updated$"))
    expect(entries(admin).filter(has_text="Created")).to_have_count(0)
    page.go_back()
    expect(entries(admin)).to_have_count(2)
    page.go_back()
    expect(entries(admin)).to_have_count(3)


def test_deep_link(admin: Visit, bea: str) -> None:
    """A link has the filters. Invalid values are ignored."""
    admin.open("/dashboard/audit", user=bea, outcome="created")
    expect(entries(admin)).to_have_count(1)
    expect(entries(admin)).to_contain_text("Bea Person")
    expect(admin.page.get_by_role("searchbox", name="User id")).to_have_value(bea)
    expect(admin.page.get_by_role("combobox", name="Outcome")).to_have_value("created")
    admin.open("/dashboard/audit", user=bea, outcome="exploded")
    expect(entries(admin)).to_have_count(1)
    admin.open("/dashboard/audit", user="user_nobody")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    admin.page.get_by_role("button", name="Clear filters").click()
    expect(entries(admin).first).to_be_visible()


def test_details_lead_to_the_log(admin: Visit, bea: str) -> None:
    """A link leads from a user's dialog to the user's entries, and another one back."""
    admin.open(user=bea)
    admin.page.get_by_role("dialog").get_by_role("link").click()
    expect(admin.page).to_have_url(re.compile(rf"/dashboard/audit\?user={bea}$"))
    expect(entries(admin)).to_have_count(1)
    admin.page.go_back()
    expect(admin.page.get_by_role("dialog")).to_contain_text("Bea Person")


def test_log_is_loaded_page_by_page(stack: LocalStack, admin: Visit, person: People) -> None:
    """The newest entries first, and more on demand."""
    for number in range(60):
        person(f"Person Number{number}")
    stack.clerk.webhooks.drain(30)
    log = admin.ask("auditLog")
    assert len(log) > 60
    admin.open("/dashboard/audit")
    expect(entries(admin)).to_have_count(25)
    while admin.page.get_by_role("button", name="Load more").count():
        admin.load_more()
    admin.expect_rows([entry["clerkId"] for entry in log])
