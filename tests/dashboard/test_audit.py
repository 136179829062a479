"""The audit log: live updates, filters and links."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    """Return the rows of the table without its header. Open details are a row."""
    return admin.page.get_by_role("row").filter(has=admin.page.get_by_role("cell"))


def test_change_appears_by_itself(stack: LocalStack, admin: Visit, bea: str) -> None:
    """On top: the outcome, the user and the changed fields, never their values."""
    admin.open("/dashboard/audit")
    expect(entries(admin).first).to_be_visible()
    stack.clerk.update_user(bea, last_name="Seldomheard")
    first = entries(admin).first
    expect(first).to_contain_text(re.compile(r"Updated.*Bea Seldomheard.*Last name changed.*Webhook"))
    stack.clerk.delete_user(bea)
    expect(first).to_contain_text("Deleted")
    expect(first).to_contain_text(bea)
    expect(admin.page.get_by_text("Seldomheard")).to_have_count(0)


def act(stack: LocalStack, admin: Visit, method: str, path: str, **body: object) -> httpx.Response:
    """Call user management as the visitor."""
    (session, *_) = stack.clerk.sessions(user_id=admin.user_id, status="active")
    headers = {"Authorization": f"Bearer {stack.clerk.session_token(session['id'])}"}
    url = f"{stack.url}/api/users{path}"
    return httpx.request(method, url, headers=headers, json=body, trust_env=False, timeout=30)


def test_an_action_is_one_entry_with_details(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The admin, the user and what changed, and its age to the second, because the order matters there. More
    on demand, with the keyboard too."""
    answer = act(stack, admin, "POST", f"/{bea}/lock")
    assert answer.status_code == 200
    stack.clerk.webhooks.drain(30)
    admin.page.add_init_script("{ const { now } = Date; Date.now = () => now() + 20_000; }")
    admin.open("/dashboard/audit", user=bea)
    page = admin.page
    expect(entries(admin)).to_have_count(2)  # the sign-up is the other
    entry = entries(admin).first
    expect(entry).to_contain_text(
        re.compile(
            "Done.*Bea Person.*Lock · end of the lock and status changed.*Administrator.*Adele Adminson"
        )
    )
    expect(entry.get_by_role("time")).to_have_text(re.compile(r"^[2-5]\ds ago$"))

    button = entry.get_by_role("button", name=re.compile("^Details: Lock.*, Bea Person$"))
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    details = entries(admin).nth(1)
    for text in (bea, str(admin.user_id), answer.headers["x-request-id"]):
        expect(details).to_contain_text(text)
    page.keyboard.press("Space")
    expect(entries(admin)).to_have_count(2)


def test_a_denial_and_an_action_without_an_end(stack: LocalStack, admin: Visit) -> None:
    """In words. After ten minutes nobody will record the end of an action any more."""
    me = str(admin.user_id)
    assert act(stack, admin, "DELETE", f"/{me}").status_code == 403
    admin.open("/dashboard/audit", by=me)
    expect(entries(admin).first).to_contain_text(
        re.compile("Denied.*Adele Adminson.*Delete · nobody may do this to their own account")
    )
    wanted = {"actor": me, "action": "revoke_session", "target": me, "object": "sess_1", "requestId": "req_1"}
    headers = {"Authorization": f"Convex {stack.convex.deploy_key}"}
    body = {"path": "users:beginAction", "args": wanted, "format": "json"}
    begun = httpx.post(f"{stack.convex.url}/api/mutation", json=body, headers=headers, trust_env=False)
    assert begun.json()["value"]["allowed"] is True
    expect(entries(admin).first).to_contain_text(re.compile("Started.*Revoke session · sess_1"))
    admin.page.add_init_script("{ const { now } = Date; Date.now = () => now() + 660_000; }")
    admin.open("/dashboard/audit", by=me)
    expect(entries(admin).first).to_contain_text("Outcome unknown")


def test_filters(stack: LocalStack, admin: Visit, bea: str) -> None:
    """By user, outcome and action. They are in the URL, and each can be removed. A filtered log is live."""
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
    expect(page.get_by_role("status").filter(has_text=re.compile("^1 entry$"))).to_have_count(1)
    stack.clerk.unban(bea)
    expect(entries(admin)).to_have_count(2)
    filters = page.get_by_role("group", name="Filters")
    filters.get_by_role("button", name="Remove this filter: About Bea Person").click()
    expect(page).to_have_url(re.compile(r"/audit\?outcome=updated$"))
    expect(entries(admin).filter(has_text="Created")).to_have_count(0)
    expect(filters.get_by_role("button", name="Remove this filter: Updated")).to_be_focused()
    page.go_back()
    expect(entries(admin)).to_have_count(2)
    page.go_back()
    expect(entries(admin)).to_have_count(3)
    page.get_by_role("combobox", name="Action").select_option(label="Invite")
    expect(page).to_have_url(re.compile(rf"/audit\?user={bea}&action=create_invitation$"))
    expect(page.get_by_role("heading", name="No match")).to_be_visible()
    filters.get_by_role("button", name="Clear filters").click()
    expect(page).to_have_url(re.compile(r"/audit$"))
    expect(filters).to_have_count(0)
    expect(page.get_by_role("combobox", name="User", exact=True)).to_be_focused()


def test_a_person_is_found_by_name(stack: LocalStack, admin: Visit, bea: str, person: People) -> None:
    """As in the list of users, with the keyboard; or by a pasted id, also of a user who is gone."""
    person("Bert Person")
    stack.clerk.webhooks.drain(30)
    admin.open("/dashboard/audit")
    page = admin.page
    box = page.get_by_role("combobox", name="User", exact=True)
    box.fill("pers")
    options = page.get_by_role("listbox", name="User").get_by_role("option")
    expect(options).to_have_count(2)
    name = options.nth(1).locator("bdi").first.text_content()
    box.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    box.press("Enter")
    expect(page.get_by_role("button", name=f"About {name}")).to_be_visible()
    expect(options).to_have_count(0)
    expect(entries(admin)).to_have_count(1)
    box.fill("nobody at all")
    expect(options).to_have_text(["No user matches"])
    box.press("Escape")
    box.press("Escape")
    expect(box).to_have_value("")
    admin_box = page.get_by_role("combobox", name="Administrator")
    admin_box.fill("user_gone")
    expect(page.get_by_role("option", name="The id user_gone")).to_be_visible()
    admin_box.press("Enter")
    expect(page).to_have_url(re.compile(r"&by=user_gone$"))
    expect(page.get_by_role("heading", name="No match")).to_be_visible()


def test_search_of_a_person_fails(admin: Visit) -> None:
    """The list says so, until the next search. Who types fast makes one search."""
    searches: dict[int, str] = {}

    def read(payload: str | bytes) -> None:
        for change in json.loads(payload).get("modifications", ()):
            if change["type"] == "Add" and "getUsers" in change["udfPath"]:
                searches[change["queryId"]] = change["args"][0]["search"]

    def fail(message: dict[str, Any], forward: Callable[[], None]) -> None:
        for change in message.get("modifications", ()):
            if searches.get(change.get("queryId")) == "pers":
                change.update(type="QueryFailed", errorMessage="Too much is read", errorData=None, value=None)
        forward()

    admin.page.on("websocket", lambda socket: socket.on("framesent", read))
    admin.intercept(fail)
    admin.open("/dashboard/audit")
    expect(entries(admin).first).to_be_visible()
    box = admin.page.get_by_role("combobox", name="User", exact=True)
    options = admin.page.get_by_role("listbox", name="User").get_by_role("option")
    box.focus()
    type_fast = "text => { for (const letter of text) document.execCommand('insertText', false, letter); }"
    admin.page.evaluate(type_fast, "pers")
    expect(options).to_have_text(["The search failed"])
    admin.page.evaluate(type_fast, "on")
    expect(options).to_have_text([re.compile("Bea Person")])
    assert list(searches.values()) == ["pers", "person"]


def test_days_are_the_viewers(visit: Visits, stack: LocalStack, person: People) -> None:
    """From the first day to the last, in the time zone of the browser."""
    admin = visit(person("Adele Adminson", role="admin"), timezone_id="Pacific/Kiritimati")  # UTC+14
    admin.open("/dashboard/audit")
    page = admin.page
    expect(entries(admin).first).to_be_visible()
    today = page.evaluate("new Intl.DateTimeFormat('sv').format(new Date())")
    page.get_by_label("From").fill(today)
    expect(page).to_have_url(re.compile(rf"/audit\?from={today}$"))
    expect(entries(admin).first).to_be_visible()
    tomorrow = page.evaluate("new Intl.DateTimeFormat('sv').format(Date.now() + 86_400_000)")
    page.get_by_label("From").fill(tomorrow)
    expect(page.get_by_role("heading", name="No match")).to_be_visible()
    page.get_by_label("From").fill("")
    page.get_by_label("Until").fill(today)
    expect(page).to_have_url(re.compile(rf"/audit\?until={today}$"))
    expect(entries(admin).first).to_be_visible()


def test_rare_entries_are_looked_for_further_back(stack: LocalStack, admin: Visit, bea: str) -> None:
    """Pages without an entry are loaded by themselves, a few. Then somebody has to ask for more."""

    def empty(message: dict[str, Any], forward: Callable[[], None]) -> None:
        for change in message.get("modifications", ()):
            if isinstance(value := change.get("value"), dict) and "continueCursor" in value:
                value.update(page=[], isDone=False)
                value.pop("splitCursor", None)
                value.pop("pageStatus", None)
        forward()

    admin.intercept(empty)
    admin.open("/dashboard/audit", outcome="deleted")
    page = admin.page
    expect(page.get_by_role("heading", name="Nothing found so far")).to_be_visible()
    page.get_by_role("button", name="Look further back").press("Enter")
    expect(page.get_by_role("heading", name="Nothing found so far")).to_be_visible()
    assert page.evaluate("document.activeElement.matches('.table-frame')")


def test_deep_link(admin: Visit, bea: str) -> None:
    """A link has the filters. Invalid values are ignored."""
    admin.open("/dashboard/audit", user=bea, outcome="created")
    expect(entries(admin)).to_have_count(1)
    expect(entries(admin)).to_contain_text("Bea Person")
    expect(admin.page.get_by_role("button", name="About Bea Person")).to_be_visible()
    expect(admin.page.get_by_role("combobox", name="Outcome")).to_have_value("created")
    admin.open("/dashboard/audit", user=bea, outcome="exploded")
    expect(entries(admin)).to_have_count(1)
    admin.open("/dashboard/audit", user="user_nobody", tenant="acme")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    admin.page.get_by_role("button", name="Clear filters").last.click()
    expect(admin.page.get_by_role("combobox", name="User", exact=True)).to_be_focused()
    entries(admin).filter(has_text="Bea Person").get_by_role("link").click()
    expect(admin.page).to_have_url(re.compile(rf"/audit\?tenant=acme&user={bea}$"))


def test_details_lead_to_the_log(admin: Visit, bea: str) -> None:
    """A link leads from a user's dialog to the user's entries, and another one back."""
    admin.open(user=bea)
    admin.page.get_by_role("dialog").get_by_role("link").click()
    expect(admin.page).to_have_url(re.compile(rf"/dashboard/audit\?user={bea}$"))
    expect(entries(admin)).to_have_count(1)
    admin.page.go_back()
    expect(admin.page.get_by_role("dialog")).to_contain_text("Bea Person")


def test_log_is_loaded_page_by_page(stack: LocalStack, admin: Visit, person: People) -> None:
    """The newest entries first, and more on demand. While the log grows, the page keeps only so many."""
    admin.open("/dashboard/audit")
    expect(entries(admin).first).to_be_visible()
    for number in range(80):
        person(f"Person Number{number}")
    stack.clerk.webhooks.drain(30)
    log = admin.ask("auditLog")
    assert len(log) > 80
    expect(entries(admin).first).to_have_attribute("data-clerk-id", log[0]["clerkId"])
    expect(admin.page.get_by_role("button", name="Load more")).to_be_visible()
    expect(entries(admin).nth(24)).to_be_attached()
    expect(entries(admin).nth(75)).to_have_count(0)  # of 80
    while admin.page.get_by_role("button", name="Load more").count():
        admin.load_more()
    admin.expect_rows([entry["clerkId"] for entry in log])
