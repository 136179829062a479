"""Admins act on the users page: an action is done at Clerk and appears in the row, and a failure is
explained."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import Locator, Request, Route, expect

from clerk_convex.local.clerk import Faults, LocalClerk
from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_accessibility import NARROW, WIDE, press, tab_to
from tests.dashboard.test_faults import UNREACHABLE, fill
from tests.dashboard.test_live import begin, renders, watch
from tests.support.functions import start_again

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

DAY = 86_400_000
API = re.compile(r"/api/users")
# Passes five minutes, and notes the texts of the button from then on.
LATER = """
() => {
  const now = Date.now;
  Date.now = () => now() + 300_000;
  const button = document.querySelector("dialog [type=submit]");
  window.seen = [];
  const options = { characterData: true, childList: true, subtree: true };
  new MutationObserver(() => seen.push(button.textContent)).observe(button, options);
}
"""


@pytest.fixture(autouse=True)
def _no_faults(stack: LocalStack, confirmed_callers: None) -> Iterator[None]:
    """Set no faults after a test. Those of a test are of the action: Clerk is not asked for the caller."""
    yield
    stack.clerk.faults = Faults()


@pytest.fixture
def bea(person: People) -> str:
    return person("Bea Person", created_at=3 * DAY, public_metadata={"plan": "gold"})


@pytest.fixture
def admin(visit: Visits, person: People, bea: str) -> Visit:
    """The page of Ada, an admin, with a list of Bea, Cay and Ada."""
    person("Cay Person", created_at=2 * DAY)
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY))
    admin.open()
    expect(admin.row(str(admin.user_id))).to_be_visible()
    return admin


def menu_button(admin: Visit, user_id: str) -> Locator:
    return admin.row(user_id).get_by_role("button", name="Actions for")


def choose(admin: Visit, user_id: str, action: str) -> None:
    """Choose an action from the menu of the row."""
    menu_button(admin, user_id).click()
    admin.page.get_by_role("menu").get_by_role("menuitem", name=re.compile(f"^{action}")).click()


def confirm(admin: Visit, button: str) -> None:
    admin.page.get_by_role("alertdialog").get_by_role("button", name=button).click()


def ban(admin: Visit, user_id: str) -> None:
    choose(admin, user_id, "Ban")
    confirm(admin, "Ban Bea Person")


def told(admin: Visit, text: str) -> Locator:
    return admin.page.get_by_role("status").filter(has_text=text)


def calls_of(admin: Visit) -> list[Request]:
    """Return the list of the calls that the page makes from now on."""
    calls: list[Request] = []
    admin.page.on("request", lambda request: calls.append(request) if API.search(request.url) else None)
    return calls


def attempts(admin: Visit) -> list[dict[str, Any]]:
    """Return the recorded actions, the newest first."""
    return [entry for entry in admin.ask("auditLog") if "action" in entry]


ACTIONS: dict[str, tuple[Callable[[LocalClerk, str], Any] | None, str, str]] = {
    "Ban": (None, "Banned", "signs this account out everywhere"),
    "Unban": (LocalClerk.ban, "Active", ""),
    "Lock": (None, "Locked", "cannot sign in until it is unlocked"),
    "Unlock": (LocalClerk.lock, "Active", ""),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_ban_and_lock(action: str, stack: LocalStack, admin: Visit, bea: str) -> None:
    """From the menu. The dialog says what the action does and to whom. Then the row changes, and Clerk has
    the change."""
    prepare, status, words = ACTIONS[action]
    if prepare is not None:
        prepare(stack.clerk, bea)
        expect(admin.row(bea)).to_contain_text(re.compile("Banned|Locked"))
    choose(admin, bea, action)
    if words:
        dialog = admin.page.get_by_role("alertdialog", name=f"{action} Bea Person?")
        expect(dialog).to_contain_text("bea.person@example.com")
        expect(dialog).to_have_accessible_description(re.compile(words, re.IGNORECASE))
        expect(admin.row(bea)).to_contain_text("Active")
        confirm(admin, f"{action} Bea Person")
    expect(told(admin, f"Bea Person was {action.lower().removesuffix('n')}")).to_be_visible()
    expect(admin.row(bea)).to_contain_text(status)
    user = stack.clerk.get_user(bea)
    assert (user["banned"], user["locked"]) == (status == "Banned", status == "Locked")
    assert [(it["action"], it["outcome"], it["actor"]) for it in attempts(admin)] == [
        (action.lower(), "done", admin.user_id)
    ]


def test_deprovisioned(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The filter finds the user. The menu does not offer a lock, and Clerk's message names what the directory
    manages."""
    admin.expect_complaints("409")
    stack.clerk.deprovision(bea)
    expect(admin.row(bea)).to_contain_text("Deprovisioned")
    statuses = admin.page.get_by_role("group", name="Status")
    statuses.get_by_role("button", name="Deprovisioned").click()
    admin.expect_rows([bea])
    counts = r"All\s*3\s*Active\s*2\s*Banned\s*0\s*Deprovisioned\s*1\s*Locked\s*0"
    expect(statuses).to_have_text(re.compile(counts))
    menu_button(admin, bea).click()
    items = admin.page.get_by_role("menu").get_by_role("menuitem")
    assert [text.rstrip("…") for text in items.all_inner_texts()] == ["Edit", "Change role", "Ban", "Delete"]
    items.filter(has_text="Delete").click()
    confirm(admin, "Delete Bea Person")
    alert = admin.page.get_by_role("alert")
    expect(alert).to_contain_text("Bea Person was not deleted.")
    expect(alert).to_contain_text("user managed by SCIM")
    admin.page.get_by_role("button", name="Dismiss").click()
    ban(admin, bea)
    expect(admin.page.get_by_role("heading", name="No deprovisioned users")).to_be_visible()
    admin.page.get_by_role("link", name="Audit log").click()
    refused = admin.page.get_by_role("row").filter(has_text="directory manages this user")
    expect(refused).to_contain_text("(409)")


def test_a_lock_ends_by_itself(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The details have the end of the lock. Then the row becomes active without an event."""
    admin.row(bea).get_by_role("link").click()
    details = admin.page.get_by_role("dialog", name="User")
    expect(details).to_contain_text("Active")
    expect(details).not_to_contain_text("Locked until")
    stack.clerk.lock(bea)
    until = details.locator(".field").filter(has_text="Locked until")
    expect(until).to_contain_text(re.compile(r"in (59|60) ?min|in 1 ?h"))
    stack.clerk.lock(bea, seconds=3)
    expect(details).to_contain_text("Active")
    expect(until).to_have_count(0)
    expect(details.get_by_role("button", name="Lock", exact=True)).to_be_visible()
    assert not stack.clerk.get_user(bea)["locked"]


def test_delete(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The dialog says that it is final. The row disappears, and the user is deleted at Clerk."""
    choose(admin, bea, "Delete")
    expect(admin.page.get_by_role("alertdialog")).to_contain_text("This is final")
    confirm(admin, "Delete Bea Person")
    expect(told(admin, "Bea Person was deleted.")).to_be_visible()
    expect(admin.row(bea)).to_have_count(0)
    assert bea not in {user["id"] for user in stack.clerk.users()}


def test_edit(stack: LocalStack, admin: Visit, bea: str) -> None:
    """Only changed fields are sent. An emptied field is removed."""
    calls = calls_of(admin)
    choose(admin, bea, "Edit")
    form = admin.page.get_by_role("dialog", name="Edit user")
    form.get_by_label("First name").fill("  Beatrix ")
    form.get_by_label("Last name").fill("")
    form.get_by_label("Username").fill("bea_x")
    form.get_by_role("button", name="Save").click()
    expect(told(admin, "Bea Person was changed.")).to_be_visible()
    expect(form).to_have_count(0)
    expect(admin.row(bea)).to_contain_text("Beatrix")
    user = stack.clerk.get_user(bea)
    assert (user["first_name"], user["last_name"], user["username"]) == ("Beatrix", None, "bea_x")
    sent = json.loads(calls[0].post_data or "")
    assert sent == {"first_name": "Beatrix", "last_name": None, "username": "bea_x"}

    choose(admin, bea, "Edit")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    assert len(calls) == 1, "Nothing was changed, and something was sent."


def test_role(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The role can be any text, one of the usual roles by a button, or none by another button. Other metadata
    stays."""
    form = admin.page.get_by_role("dialog", name="Change role")
    for role in ("editor", "Bee keeper", "admin", None):
        choose(admin, bea, "Change role")
        if role == "Bee keeper":
            form.get_by_label("Role", exact=True).fill(role)
        else:
            form.get_by_role("button", name=role or "none", exact=True).click()
        if role == "admin":
            expect(form).to_contain_text("may do all that you may")
        form.get_by_role("button", name="Save").click()
        expect(told(admin, "The role of Bea Person was changed.").first).to_be_visible()
        expect(form).to_have_count(0)
        expect(admin.row(bea).locator(".col-role")).to_contain_text(role or "none")
        metadata = {"plan": "gold"} if role is None else {"plan": "gold", "role": role}
        assert stack.clerk.get_user(bea)["public_metadata"] == metadata


def test_create(stack: LocalStack, admin: Visit) -> None:
    """All fields can be filled, and the new row is on top."""
    admin.page.get_by_role("button", name="New user", exact=True).click()
    form = admin.page.get_by_role("dialog", name="New user", exact=True)
    values = {
        "Email": "nova@example.com",
        "Phone": "+1 (555) 123-4567",
        "Username": "nova",
        "First name": "Nova",
        "Last name": "Newcomer",
        "External id": "crm-7",
        "Role": "member",
    }
    for label, value in values.items():
        form.get_by_label(label, exact=True).fill(value)
    form.get_by_role("button", name="Create user").click()
    expect(told(admin, "Nova Newcomer was created.")).to_be_visible()
    expect(form).to_have_count(0)
    first = admin.page.locator("[data-clerk-id]").first
    expect(first).to_contain_text("Nova Newcomer")
    user = stack.clerk.get_user(str(first.get_attribute("data-clerk-id")))
    assert user["email_addresses"][0]["email_address"] == "nova@example.com"
    assert user["phone_numbers"][0]["phone_number"] == "+15551234567"
    assert (user["username"], user["external_id"]) == ("nova", "crm-7")
    assert user["public_metadata"] == {"role": "member"}


@pytest.mark.parametrize("action", ["Edit", "Change role", "Ban", "Lock", "Delete"])
def test_cancelled(action: str, stack: LocalStack, admin: Visit, bea: str) -> None:
    """By the button or with Escape: no call is made, and the focus returns to the row."""
    calls = calls_of(admin)
    before = stack.clerk.get_user(bea)
    dialog = admin.page.get_by_role("alertdialog").or_(admin.page.get_by_role("dialog"))
    cancel = dialog.get_by_role("button", name="Cancel")
    ways: tuple[Callable[[], None], ...] = (
        lambda: cancel.click(),
        lambda: admin.page.keyboard.press("Escape"),
    )
    for close in ways:
        choose(admin, bea, action)
        if action in ("Edit", "Change role"):
            dialog.get_by_label("First name" if action == "Edit" else "Role").first.fill("Other")
        else:
            expect(cancel).to_be_focused()
        close()
        expect(dialog).to_have_count(0)
        expect(menu_button(admin, bea)).to_be_focused()
        expect(admin.row(bea)).to_contain_text("Active")
    assert calls == []
    assert stack.clerk.get_user(bea) == before


FAILURES: dict[str, tuple[Faults, str, bool]] = {
    "402": (
        Faults(status=402, code="unsupported_subscription_plan_features", message="No bans for you."),
        "plan does not include this.*No bans for you",
        False,
    ),
    "403": (Faults(status=403, code="not_allowed", message="Not here."), "Not here", False),
    "404": (Faults(status=404, code="resource_not_found"), "it has no such user", False),
    "409": (Faults(status=409, code="resource_locked"), "another call is changing the same thing", True),
}


@pytest.mark.parametrize("status", FAILURES)
def test_failed(status: str, stack: LocalStack, admin: Visit, bea: str) -> None:
    """During the call the row says so. After it the row is as before, and a notice has the reason and the
    request id."""
    faults, words, can_retry = FAILURES[status]
    admin.expect_complaints(status)
    stack.clerk.faults = replace(faults, delay=60)
    ban(admin, bea)
    expect(admin.row(bea)).to_contain_text("Banning…")
    stack.clerk.faults = faults
    alert = admin.page.get_by_role("alert")
    expect(alert).to_contain_text("Bea Person was not banned.")
    assert "Active" in admin.row(bea).inner_text()
    expect(alert).to_contain_text(re.compile(words))
    assert not stack.clerk.get_user(bea)["banned"]
    (attempt,) = attempts(admin)
    assert (attempt["outcome"], attempt["status"]) == ("failed", int(status))
    expect(alert).to_contain_text(f"Request {attempt['requestId']}")
    retry = admin.page.get_by_role("button", name="Retry")
    assert retry.count() == can_retry
    if can_retry:
        stack.clerk.faults = Faults()
        retry.click()
        expect(admin.row(bea)).to_contain_text("Banned")
        expect(alert).to_have_count(0)
    else:
        admin.page.get_by_role("button", name="Dismiss").click()
        expect(alert).to_have_count(0)


def test_failed_form_stays(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The form keeps its values and shows the reason. The same button tries again."""
    admin.expect_complaints("409")
    stack.clerk.faults = Faults(status=409, code="resource_locked")
    choose(admin, bea, "Edit")
    form = admin.page.get_by_role("dialog", name="Edit user")
    form.get_by_label("First name").fill("Beatrix")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("another call is changing the same thing")
    expect(form.get_by_label("First name")).to_have_value("Beatrix")
    stack.clerk.faults = Faults()
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    expect(admin.row(bea)).to_contain_text("Beatrix")


def test_form_that_was_closed_too_early(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The action continues, and a notice says how it ended."""
    admin.expect_complaints("409")
    stack.clerk.faults = Faults(delay=60, status=409, code="resource_locked")
    choose(admin, bea, "Edit")
    form = admin.page.get_by_role("dialog", name="Edit user")
    form.get_by_label("First name").fill("Beatrix")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("button", name="Saving…")).to_be_visible()
    form.get_by_role("button", name="Cancel").click()
    expect(admin.row(bea)).to_contain_text("Saving…")
    admin.page.get_by_role("link", name="Audit log").click()
    stack.clerk.faults = Faults(status=409, code="resource_locked")
    expect(admin.page.get_by_role("alert")).to_contain_text("Bea Person was not changed.")


def test_answer_that_got_lost(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The action was done, but the page does not know. It says so."""
    admin.expect_complaints("net::ERR_FAILED")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    admin.page.route(API, lose)
    ban(admin, bea)
    alert = admin.page.get_by_role("alert")
    expect(alert).to_contain_text("It is not known whether Bea Person was banned.")
    expect(alert).to_contain_text("It may have been done all the same")
    expect(admin.row(bea)).to_contain_text("Banned")
    assert stack.clerk.get_user(bea)["banned"]


def test_convex_is_gone_after_clerk_did_it(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The page says that the action was done, and that the row does not show it yet."""
    admin.expect_complaints(UNREACHABLE)
    stack.clerk.faults = Faults(delay=60)
    try:
        ban(admin, bea)
        expect(admin.row(bea)).to_contain_text("Banning…")
        while not attempts(admin):
            time.sleep(0.02)
        stack.convex.stop()
        stack.clerk.faults = Faults()
        alert = admin.page.get_by_role("alert")
        expect(alert).to_contain_text("Bea Person was banned, but this page does not", timeout=40_000)
        expect(alert).to_contain_text("Clerk has done it, but it is not in Convex yet")
        expect(admin.row(bea)).to_contain_text("Active")
        assert stack.clerk.get_user(bea)["banned"]
    finally:
        start_again(stack.convex)


def test_double_click(stack: LocalStack, admin: Visit, person: People, bea: str) -> None:
    """Only one call is made, and elements behind the dialog are not clicked. No other action is possible
    meanwhile."""
    crowd = [person(f"Person Number{number}", created_at=4 * DAY) for number in range(12)]
    expect(admin.row(crowd[-1])).to_be_visible()
    calls = calls_of(admin)
    stack.clerk.faults = Faults(delay=60)
    choose(admin, bea, "Ban")
    admin.page.get_by_role("alertdialog").get_by_role("button", name="Ban Bea Person").dblclick()
    expect(admin.row(bea)).to_contain_text("Banning…")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    menu_button(admin, bea).click()
    items = admin.page.get_by_role("menuitem")
    for item in items.all():
        expect(item).to_be_disabled()
        expect(item).to_have_accessible_description("Banning…")
    items.first.dispatch_event("click")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    stack.clerk.faults = Faults()
    expect(admin.row(bea)).to_contain_text("Banned")
    assert len(calls) == 1
    assert len(attempts(admin)) == 1


def test_double_click_on_save(stack: LocalStack, admin: Visit) -> None:
    """One user is created, however often the button is pressed."""
    stack.clerk.faults = Faults(delay=60)
    calls = calls_of(admin)
    admin.page.get_by_role("button", name="New user", exact=True).click()
    form = admin.page.get_by_role("dialog", name="New user", exact=True)
    form.get_by_label("Email").fill("nova@example.com")
    form.get_by_role("button", name="Create user").dblclick()
    form.get_by_label("Email").press("Enter")
    stack.clerk.faults = Faults()
    expect(told(admin, "nova@example.com was created.")).to_be_visible()
    expect(form).to_have_count(0)
    assert len(calls) == 1
    assert len(stack.clerk.users()) == 4


def test_two_admins_ban_the_same_user(
    stack: LocalStack, admin: Visit, visit: Visits, person: People, bea: str
) -> None:
    """Both get the true result, and there is one ban."""
    other = visit(person("Grace Adminson", role="admin"))
    other.open()
    for each in (admin, other):
        choose(each, bea, "Ban")
    for each in (admin, other):
        confirm(each, "Ban Bea Person")
    for each in (admin, other):
        expect(told(each, "Bea Person was banned.")).to_be_visible()
    for each in (admin, other):
        expect(each.row(bea)).to_contain_text("Banned")
    assert {it["actor"] for it in attempts(admin)} == {admin.user_id, other.user_id}


REFUSED_TO_ONESELF = ("Change role", "Ban", "Lock", "Delete")


def test_actions_on_the_own_account(stack: LocalStack, admin: Visit) -> None:
    """The actions that would remove the own administration are disabled, with the reason. So the last admin
    stays."""
    calls = calls_of(admin)
    me = str(admin.user_id)
    reason = re.compile("This is you. Another administrator can")
    menu_button(admin, me).click()
    menu = admin.page.get_by_role("menu")
    for name in REFUSED_TO_ONESELF:
        item = menu.get_by_role("menuitem", name=name)
        expect(item).to_be_disabled()
        expect(item).to_have_accessible_description(reason)
        expect(item).to_have_attribute("title", reason)
        item.dispatch_event("click")
    expect(admin.page.get_by_text(reason)).to_be_visible()
    expect(menu.get_by_role("menuitem", name="Edit")).to_be_enabled()
    admin.page.keyboard.press("Escape")

    admin.row(me).get_by_role("link").click()
    details = admin.page.get_by_role("dialog", name="User")
    for name in REFUSED_TO_ONESELF:
        button = details.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(reason)
        button.dispatch_event("click")
    expect(details.get_by_text(reason)).to_be_visible()
    expect(admin.page.get_by_role("alertdialog")).to_have_count(0)
    assert calls == []


def test_last_admin(stack: LocalStack, admin: Visit, visit: Visits, person: People) -> None:
    """Convex decides when the call arrives whether it would remove the last admin. The page shows its
    reason."""
    grace = person("Grace Adminson", role="admin")
    expect(admin.row(grace)).to_be_visible()
    admin.expect_complaints("403")
    refusal = {"error": {"code": "last_admin", "message": "This is the last active administrator."}}
    admin.page.route(API, lambda route: route.fulfill(status=403, json=refusal))
    choose(admin, grace, "Ban")
    expect(admin.page.get_by_role("alertdialog")).to_contain_text("This is an administrator")
    confirm(admin, "Ban Grace Adminson")
    alert = admin.page.get_by_role("alert")
    expect(alert).to_contain_text("Grace Adminson was not banned.This is the last active administrator.")
    expect(admin.page.get_by_role("button", name="Retry")).to_have_count(0)


def test_ordinary_user_has_no_actions(visit: Visits, person: People) -> None:
    """A user who may not read users gets no buttons."""
    visitor = visit(person("Otto Ordinary", role="member"))
    visitor.open()
    expect(visitor.page.get_by_role("heading", name="This page is for administrators")).to_be_visible()
    expect(visitor.page.get_by_role("button", name=re.compile("New user|Actions"))).to_have_count(0)


def test_wrong_fields(stack: LocalStack, admin: Visit) -> None:
    """Each is marked with its problem beside it, and the focus is on the first."""
    admin.expect_complaints("422")
    admin.page.get_by_role("button", name="New user", exact=True).click()
    form = admin.page.get_by_role("dialog", name="New user", exact=True)
    form.get_by_role("button", name="Create user").click()
    expect(form.get_by_role("alert")).to_contain_text("a phone number or a username is needed")
    form.get_by_label("Email").fill("nova@")
    form.get_by_label("Phone").fill("soon")
    form.get_by_role("button", name="Create user").click()
    expect(form.get_by_role("alert")).to_have_text("Correct what is marked, and try again.")
    wrong = {"Email": "This is not an email address", "Phone": "This is not a phone number"}
    for label in ("Email", "Phone", "Username", "First name"):
        field = form.get_by_label(label)
        if label in wrong:
            expect(field).to_have_attribute("aria-invalid", "true")
            expect(field).to_have_accessible_description(re.compile(wrong[label]))
        else:
            assert field.get_attribute("aria-invalid") is None
    expect(form.get_by_label("Email")).to_be_focused()
    form.get_by_label("Email").fill("nova@example.com")
    form.get_by_label("Phone").fill("")
    form.get_by_role("button", name="Create user").click()
    expect(told(admin, "nova@example.com was created.")).to_be_visible()
    expect(form).to_have_count(0)


def test_address_that_is_taken(admin: Visit) -> None:
    """Clerk's message is shown at the field."""
    admin.expect_complaints("422")
    admin.page.get_by_role("button", name="New user", exact=True).click()
    form = admin.page.get_by_role("dialog", name="New user", exact=True)
    form.get_by_label("Email").fill("bea.person@example.com")
    form.get_by_role("button", name="Create user").click()
    expect(form.get_by_label("Email")).to_have_accessible_description(re.compile("Another user has this"))
    expect(form.get_by_label("Email")).to_be_focused()


def test_too_many_calls(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The page says when the action can be tried again. Until then the button does nothing."""
    admin.expect_complaints("429")
    (session, *_) = stack.clerk.sessions(user_id=str(admin.user_id), status="active")
    headers = {"Authorization": f"Bearer {stack.clerk.session_token(session['id'])}"}
    with httpx.Client(headers=headers, trust_env=False) as client:
        while client.patch(f"{stack.url}/api/users/{bea}", json={}).status_code != 429:
            pass
    calls = calls_of(admin)
    ban(admin, bea)
    expect(admin.page.get_by_role("alert")).to_contain_text(re.compile(r"Too many calls.*Try again in \d+ s"))
    retry = admin.page.get_by_role("button", name=re.compile(r"^Retry in \d+ s$"))
    expect(retry).to_be_disabled()
    retry.dispatch_event("click")
    assert len(calls) == 1
    expect(admin.row(bea)).to_contain_text("Active")


def test_retry_is_open_again_in_time(stack: LocalStack, admin: Visit, bea: str) -> None:
    """After the seconds that the service has asked for, also if the notice has moved. A form that has been
    open for long shows these at once."""
    admin.expect_complaints("429")
    busy = {"error": {"code": "too_many_calls", "message": "Too many calls.", "retry_after": 5}}
    admin.page.route(API, lambda route: route.fulfill(status=429, json=busy))
    ban(admin, bea)
    expect(admin.page.get_by_role("button", name=re.compile(r"^Retry in \d s$"))).to_be_disabled()
    admin.row(bea).get_by_role("link").click()
    admin.page.unroute_all()
    admin.page.get_by_role("dialog").get_by_role("button", name="Retry", exact=True).click()
    expect(admin.row(bea)).to_contain_text("Banned")

    admin.page.keyboard.press("Escape")
    choose(admin, bea, "Edit")
    form = admin.page.get_by_role("dialog", name="Edit user")
    form.get_by_label("First name").fill("Beatrix")
    admin.page.evaluate(LATER)
    admin.page.route(API, lambda route: route.fulfill(status=429, json=busy))
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("button", name=re.compile(r"^Save in \d s$"))).to_be_disabled()
    assert not re.search(r"\d\d s", admin.page.evaluate("seen.join()"))


def test_expired_token_is_renewed(stack: LocalStack, admin: Visit, bea: str) -> None:
    """A call that is refused for its token is repeated with a new token, without a notice."""
    admin.expect_complaints("401")
    (session, *_) = stack.clerk.sessions(user_id=str(admin.user_id), status="active")
    old = stack.clerk.session_token(session["id"], lifetime=-30)
    sent: list[str] = []

    def age(route: Route) -> None:
        sent.append(route.request.headers["authorization"])
        headers = {**route.request.headers, "authorization": f"Bearer {old}"}
        route.continue_(headers=headers if len(sent) == 1 else route.request.headers)

    admin.page.route(API, age)
    ban(admin, bea)
    expect(admin.row(bea)).to_contain_text("Banned")
    expect(admin.page.get_by_role("alert")).to_have_count(0)
    assert len(set(sent)) == 2


def test_convex_is_gone(stack: LocalStack, admin: Visit, bea: str) -> None:
    """While Convex is gone, actions that the service would refuse are disabled, with the reason. Then they
    are enabled again."""
    admin.expect_complaints(UNREACHABLE)
    reason = re.compile("Convex cannot be reached")
    new_user = admin.page.get_by_role("button", name="New user", exact=True)
    stack.convex.stop()
    try:
        expect(new_user).to_be_disabled()
        expect(new_user).to_have_accessible_description(reason)
        new_user.focus()
        expect(new_user.locator("+ [role=tooltip]")).to_have_css("clip-path", "none")
        new_user.dispatch_event("click")
        expect(admin.page.get_by_role("dialog")).to_have_count(0)
        menu_button(admin, bea).click()
        expect(admin.page.get_by_role("menuitem", name="Ban")).to_have_accessible_description(reason)
        expect(admin.page.get_by_role("menuitem", name="Ban")).to_be_disabled()
    finally:
        start_again(stack.convex)
    fill(stack)
    expect(new_user).to_be_enabled()


def respond(**answer: Any) -> Callable[[Route], None]:
    return lambda route: route.fulfill(**answer)


MISSING: dict[str, tuple[Callable[[Route], None], str]] = {
    "not set up": (
        respond(
            status=503,
            json={
                "error": {
                    "code": "not_set_up",
                    "message": "Not set in the environment: CLERK_SECRET_KEY.",
                    "retry_after": 60,
                }
            },
        ),
        "Not set in the environment: CLERK_SECRET_KEY.",
    ),
    "no such path": (
        respond(status=404, content_type="text/html", body="<h1>Not Found</h1>"),
        "User management is not served at /api/users.",
    ),
    "every path is the page": (
        respond(status=200, content_type="text/html", body="<!doctype html>"),
        "User management is not served at /api/users.",
    ),
}


@pytest.mark.parametrize("what", MISSING)
def test_user_management_is_missing(what: str, admin: Visit, bea: str) -> None:
    """One notice says so. From then on no action is offered."""
    answer, words = MISSING[what]
    if what != "every path is the page":
        admin.expect_complaints("status of")
    admin.page.route(API, answer)
    ban(admin, bea)
    expect(admin.page.get_by_role("alert")).to_contain_text(words)
    expect(admin.row(bea)).to_contain_text("Active")
    new_user = admin.page.get_by_role("button", name="New user", exact=True)
    expect(new_user).to_be_disabled()
    expect(new_user).to_have_accessible_description(re.compile(re.escape(words)))


def test_proxy_in_trouble(admin: Visit, bea: str) -> None:
    """An error that is not the service's: it is unknown whether the action was done."""
    admin.expect_complaints("502")
    admin.page.route(API, respond(status=502, content_type="text/html", body="<h1>Bad Gateway</h1>"))
    ban(admin, bea)
    alert = admin.page.get_by_role("alert")
    expect(alert).to_contain_text("It is not known whether Bea Person was banned.")
    expect(alert).to_contain_text("answered 502")


def test_from_the_details(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The same actions in the dialog of a user. A failure is shown in the dialog, with a retry."""
    admin.expect_complaints("409")
    admin.row(bea).get_by_role("link").click()
    details = admin.page.get_by_role("dialog", name="User")
    details.get_by_role("button", name="Lock", exact=True).click()
    confirm(admin, "Lock Bea Person")
    expect(details.get_by_role("button", name="Unlock")).to_be_focused()
    expect(details).to_contain_text("Locked")
    details.get_by_role("button", name="Unlock").click()
    expect(details.get_by_role("button", name="Lock", exact=True)).to_be_focused()

    stack.clerk.faults = Faults(status=409, code="resource_locked")
    details.get_by_role("button", name="Delete").click()
    confirm(admin, "Delete Bea Person")
    expect(details.get_by_role("alert")).to_contain_text("Bea Person was not deleted.")
    expect(admin.page.get_by_text("Bea Person was not deleted.")).to_have_count(1)
    stack.clerk.faults = Faults()
    details.get_by_role("button", name="Retry").click()
    expect(details.get_by_role("heading", name="Bea Person was deleted")).to_be_visible()
    expect(admin.row(bea)).to_have_count(0)


def test_by_keyboard(stack: LocalStack, admin: Visit, bea: str) -> None:
    """Menu, confirmation and form set the focus at the right place and give it back."""
    page = admin.page
    tab_to(page, "Actions for Bea Person")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Edit")).to_be_focused()
    assert [press(page, key)["name"] for key in ("ArrowUp", "ArrowUp", "Home", "ArrowDown", "End")] == [
        *("Delete…", "Lock…", "Edit…", "Change role…", "Delete…")
    ]
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(menu_button(admin, bea)).to_be_focused()

    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Edit")).to_be_focused()
    assert press(page, "Tab")["name"] == "Select Cay Person"
    expect(page.get_by_role("menu")).to_have_count(0)
    assert press(page, "Shift+Tab")["name"] == "Actions for Bea Person"

    page.keyboard.press("Space")
    expect(page.get_by_role("menuitem", name="Edit")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    assert press(page, "Tab")["name"] == "Ban Bea Person"
    page.keyboard.press("Enter")
    expect(admin.row(bea)).to_contain_text("Banned")
    expect(menu_button(admin, bea)).to_be_focused()

    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Edit")).to_be_focused()
    expect(page.get_by_role("menuitem", name="Edit")).to_be_enabled()  # the row changes before Clerk answers
    page.keyboard.press("Enter")
    expect(page.get_by_label("First name")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("Beatrix")
    page.keyboard.press("Enter")
    expect(admin.row(bea)).to_contain_text("Beatrix Person")
    expect(menu_button(admin, bea)).to_be_focused()


def test_focus_moves_to_the_next_row(stack: LocalStack, admin: Visit, bea: str) -> None:
    """When the row of the focus is deleted, the next row gets the focus, and not the top of the page."""
    after = admin.shown()[admin.shown().index(bea) + 1]
    choose(admin, bea, "Delete")
    admin.page.keyboard.press("Tab")
    admin.page.keyboard.press("Enter")
    expect(admin.row(bea)).to_have_count(0)
    expect(menu_button(admin, after)).to_be_focused()


def test_menu_closes(admin: Visit, bea: str) -> None:
    """By its own button, by a click elsewhere, and when its row may have moved."""
    menu = admin.page.get_by_role("menu")
    button = menu_button(admin, bea)
    ways: tuple[Callable[[], None], ...] = (
        lambda: button.click(),
        lambda: admin.page.mouse.click(5, 400),
        lambda: admin.page.set_viewport_size(NARROW),
        lambda: admin.page.mouse.wheel(0, 100),
    )
    for close in ways:
        button.click()
        expect(menu).to_be_visible()
        expect(button).to_have_attribute("aria-expanded", "true")
        close()
        expect(menu).to_have_count(0)
        expect(button).to_have_attribute("aria-expanded", "false")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)


def test_only_the_row_is_rendered(stack: LocalStack, visit: Visits, person: People, bea: str) -> None:
    """For the menu, the confirmation, the progress and the change, React renders no other row."""
    person("Cay Person")
    admin = visit(person("Ada Adminson", role="admin"))
    watch(admin)
    admin.open()
    expect(admin.row(bea)).to_be_visible()
    expect(told(admin, "Live")).to_be_visible()
    begin(admin)
    ban(admin, bea)
    expect(told(admin, "Bea Person was banned.")).to_be_visible()
    expect(admin.row(bea)).to_contain_text("Banned")
    assert list(renders(admin)) == [bea]


def test_audit_log_has_words(stack: LocalStack, admin: Visit, person: People, bea: str) -> None:
    """The log has the action, the admin, the end and the reason in words, also on narrow screens."""
    admin.expect_complaints("404")
    ban(admin, bea)
    expect(admin.row(bea)).to_contain_text("Banned")
    stack.clerk.faults = Faults(status=404, code="resource_not_found")
    choose(admin, bea, "Unban")
    expect(admin.page.get_by_role("alert")).to_be_visible()
    (session, *_) = stack.clerk.sessions(user_id=str(admin.user_id), status="active")
    headers = {"Authorization": f"Bearer {stack.clerk.session_token(session['id'])}"}
    metadata: Mapping[str, Any] = {"public_metadata": {"role": None}}
    url = f"{stack.url}/api/users/{admin.user_id}/metadata"
    assert httpx.patch(url, json=metadata, headers=headers, trust_env=False).status_code == 403
    admin.open("/dashboard/audit")
    rows = admin.page.locator("[data-clerk-id]")
    for viewport in (WIDE, NARROW):
        admin.page.set_viewport_size(viewport)
        cells = [
            ("Denied", "Ada Adminson", "Change role or metadata · nobody may do this to their own account"),
            ("Failed", "Bea Person", "Unban · Clerk has no such user (404)"),
            ("Done", "Bea Person", "Ban · status changed"),
        ]
        for outcome, name, what in cells:
            row = rows.filter(has_text=outcome)
            for text in (outcome, what):
                expect(row.get_by_text(text, exact=True)).to_be_visible()
            expect(row.get_by_role("link", name=name, exact=True)).to_be_visible()
            expect(row.locator(".col-actor").get_by_text("Ada Adminson")).to_be_visible()
