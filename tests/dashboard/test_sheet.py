"""The details of a user: sessions, Sync now, and the way from user to user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, expect

from clerk_convex.local.clerk import Faults
from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_accessibility import press, settled, tab_to, violations
from tests.support.functions import Functions, upsert

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
    """They are asked for on demand, with their devices. One is revoked, then all others. Cancel revokes
    none."""
    for _ in range(3):
        stack.clerk.sign_in(bea)
    asked: list[str] = []
    admin.page.on(
        "request", lambda request: asked.append(request.url) if "/api/users" in request.url else None
    )
    details = open_sheet(admin, bea)
    assert asked == []
    details.get_by_role("button", name="Show sessions").click()
    items = details.get_by_role("region", name="Sessions").get_by_role("listitem")
    expect(items).to_have_count(3)
    expect(details.get_by_role("status").filter(has_text="3 sessions")).to_be_visible()
    expect(items.first).to_contain_text(re.compile(r"(Chrome|Safari|Firefox) \d+ on \w+.*Active now"))
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


def test_addresses(stack: LocalStack, admin: Visit, bea: str) -> None:
    """All of them, asked for on demand, with what is primary and verified."""
    admin.expect_complaints("403")
    unverified = {"email_address": "old@example.com", "verification": None}
    more = {"email_address": ["bea.person@example.com", unverified], "phone_number": ["+15555550100"]}
    items = stack.clerk.update_user(bea, **more)["email_addresses"]
    stack.clerk.update_user(bea, email_addresses=items[::-1])
    details = open_sheet(admin, bea)
    addresses = details.get_by_role("region", name="Addresses")
    stack.clerk.faults = Faults(status=403, code="not_allowed", message="Not here.")
    addresses.get_by_role("button", name="Show addresses").click()
    expect(addresses.get_by_role("alert")).to_contain_text("Not here.")
    stack.clerk.faults = Faults()
    show = addresses.get_by_role("button", name="Show addresses")
    expect(show).to_be_enabled()
    show.click()
    expect(addresses.get_by_role("listitem")).to_have_text(
        [
            re.compile(r"bea\.person@example\.com\s*Email · Primary · Verified"),
            re.compile(r"old@example\.com\s*Email · Unverified"),
            re.compile(r"\+15555550100\s*Phone · Primary · Verified"),
        ]
    )
    expect(details.get_by_role("status").filter(has_text="3 addresses.")).to_be_visible()
    assert [it["action"] for it in admin.ask("auditLog") if "action" in it] == ["get", "get"]


def test_sync_state_and_history(stack: LocalStack, admin: Visit, bea: str) -> None:
    """The times of the state, how it came, a refusal as it arrives and goes, and the newest ten entries,
    which stay when the user is gone. axe finds nothing."""
    details = open_sheet(admin, bea)
    state = details.get_by_role("region", name="Sync")
    for field in ("Changed at Clerk", "Read from Clerk"):
        expect(state.get_by_text(field).locator("..")).to_contain_text(re.compile("[12][0-9]{3}"))
    expect(state.get_by_text("Last written").locator("..")).to_contain_text("· by a webhook")
    expect(details).not_to_contain_text("observedAt")
    history = details.get_by_role("region", name="History")
    expect(history.get_by_role("listitem")).to_have_text([re.compile("^Created")])

    functions = Functions(stack.convex)
    with functions.http:
        reason = {"source": "webhook", "reason": "The column plan is required.", "count": 2}
        soon = stack.clerk.get_user(bea)["updated_at"] + 60_000
        refused = [{"clerkId": it, "observedAt": soon, **reason} for it in (bea, "user_nobody")]
        functions.mutation("users:recordRefusals", {"refusals": refused})
        expect(state).to_contain_text(re.compile(r"last change was refused.*The column plan.*2 times, first"))
        settled(admin.page)
        assert violations(admin.page) == []
        for number in range(10):
            functions.sync(
                [upsert(bea, updated_at=soon, observed_at=soon + number, firstName=f"Bea {number}")]
            )
        expect(state).not_to_contain_text("refused")
        expect(history.get_by_role("listitem")).to_have_count(10)
        expect(history.get_by_role("listitem").first).to_have_text(re.compile("^Updated.*First name changed"))
        functions.mutation("users:deleteUser", {"clerkId": bea})
    expect(details.get_by_role("heading", name="was deleted")).to_be_visible()
    expect(history.get_by_role("listitem").first).to_have_text(re.compile("^Deleted"))
    expect(history.get_by_role("link", name="Audit log of this user")).to_be_visible()

    admin.open(user="user_nobody")
    expect(details).to_contain_text("could not be written, so there is nothing to show")
    expect(history).to_contain_text("Nothing is on record")


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


def test_metadata(stack: LocalStack, admin: Visit, bea: str) -> None:
    """An editor of JSON says what is wrong and what changes, in words, and sends only that. No digit is
    lost."""
    stack.clerk.update_metadata(bea, public_metadata={"plan": "pro", "limits": {"seats": 3, "days": 30}})
    details = open_sheet(admin, bea)
    expect(details.get_by_role("region", name="Public metadata")).to_contain_text("seats")
    details.get_by_role("button", name="Edit metadata").click()
    editor = admin.page.get_by_role("dialog", name="Edit public metadata")
    area = editor.get_by_role("textbox", name="JSON")
    expect(area).to_be_focused()
    expect(area).to_have_value('{\n  "limits": {\n    "days": 30,\n    "seats": 3\n  },\n  "plan": "pro"\n}')
    state = editor.get_by_role("status").first
    expect(state).to_have_text("No change. 45 of 8,192 bytes.")

    area.fill('{\n  "plan": pro\n}')
    expect(state).to_have_text("Line 2, column 11: “p” is not JSON here.")
    expect(area).to_have_attribute("aria-invalid", "true")
    save = editor.get_by_role("button", name="Save")
    expect(save).to_be_disabled()
    expect(save).to_have_accessible_description(re.compile("Line 2"))
    editor.get_by_role("button", name="Go there").click()
    expect(area).to_be_focused()
    assert area.evaluate("it => [it.selectionStart, it.selectionEnd]") == [12, 13]
    for text, fault in (
        (f'{{"a": "{"é" * 4096}"}}', "This has 8,200 bytes. Clerk stores at most 8,192."),
        ('{"a": {"b": null}}', "remove a / b"),
        ('{"a": 1, "a": 2}', "“a” is there twice"),
    ):
        area.fill(text)
        expect(state).to_contain_text(fault)

    area.fill('{"limits": {"seats": 12345678901234567890}, "plan": "pro", "role": "admin"}')
    expect(state).to_have_text("3 changes. 69 of 8,192 bytes.")
    changes = editor.get_by_role("region", name="Changes").get_by_role("listitem")
    expect(changes).to_have_text(
        [
            re.compile(r"Removed limits / days\s*Before\s*30$"),
            re.compile(r"Changed limits / seats\s*Before\s*3\s*After\s*12345678901234567890"),
            re.compile(r'Added role\s*After\s*"admin"'),
        ]
    )
    expect(editor).to_contain_text("JavaScript reads it as 12345678901234567000")
    expect(editor.get_by_role("alert")).to_contain_text("makes the user an administrator")
    sent: list[str] = []
    admin.page.on(
        "request", lambda it: sent.append(it.post_data or "") if it.url.endswith("/metadata") else None
    )
    save.click()
    expect(editor).to_have_count(0)
    expect(details.get_by_role("status").filter(has_text="public metadata was changed")).to_be_visible()
    expect(details.get_by_role("button", name="Edit metadata")).to_be_focused()
    expect(details.get_by_role("region", name="Public metadata")).to_contain_text("12345678901234567890")
    assert sent == [
        '{"public_metadata":{"limits":{"days":null,"seats":12345678901234567890},"role":"admin"}}'
    ]
    assert stack.clerk.get_user(bea)["public_metadata"] == {
        "limits": {"seats": 12345678901234567890},
        "plan": "pro",
        "role": "admin",
    }
    actions = [it["action"] for it in admin.ask("auditLog") if "action" in it]
    assert actions == ["update_metadata", "sync"]


def test_metadata_that_was_changed_meanwhile(stack: LocalStack, admin: Visit, bea: str) -> None:
    """Changes by others are shown. At other keys they stay; at the same keys nothing is saved before the
    admin chooses. A refusal keeps the text."""
    admin.expect_complaints("403")
    stack.clerk.update_metadata(bea, public_metadata={"plan": "pro", "seats": 3})
    details = open_sheet(admin, bea)
    expect(details).to_contain_text("seats")
    details.get_by_role("button", name="Edit metadata").click()
    editor = admin.page.get_by_role("dialog", name="Edit public metadata")
    area = editor.get_by_role("textbox", name="JSON")
    save = editor.get_by_role("button", name="Save")
    news = editor.get_by_role("region", name="The metadata was changed meanwhile")
    area.fill('{"plan": "free", "seats": 3}')

    stack.clerk.update_metadata(bea, public_metadata={"team": "a"})
    expect(news).to_contain_text("These changes are kept")
    expect(news.get_by_role("listitem")).to_have_text([re.compile(r'Added team\s*After\s*"a"')])
    expect(save).to_be_enabled()
    stack.clerk.update_metadata(bea, public_metadata={"plan": "team"})
    expect(news).to_contain_text("Nothing is saved before you choose")
    expect(save).to_be_disabled()
    news.get_by_role("button", name="Put my changes on top").click()
    expect(news).to_have_count(0)
    expect(area).to_have_value('{\n  "plan": "free",\n  "seats": 3,\n  "team": "a"\n}')
    expect(area).to_be_focused()
    expect(editor.get_by_role("region", name="Changes").get_by_role("listitem")).to_have_text(
        [re.compile(r'Changed plan\s*Before\s*"team"\s*After\s*"free"')]
    )
    stack.clerk.update_metadata(bea, public_metadata={"seats": 4})
    expect(news).to_be_visible()
    news.get_by_role("button", name="Drop my changes").click()
    expect(area).to_have_value('{\n  "plan": "team",\n  "seats": 4,\n  "team": "a"\n}')

    area.fill('{"plan": "team", "team": "a"}')
    stack.clerk.faults = Faults(status=403, code="not_allowed", message="Not here.")
    save.click()
    expect(editor.get_by_role("alert")).to_contain_text(re.compile(r"Not here.*Request req_\w+", re.DOTALL))
    expect(area).to_have_value('{"plan": "team", "team": "a"}')
    stack.clerk.faults = Faults()
    expect(save).to_be_enabled()
    save.click()
    expect(editor).to_have_count(0)
    assert stack.clerk.get_user(bea)["public_metadata"] == {"plan": "team", "team": "a"}


def test_metadata_of_which_convex_has_an_old_state(stack: LocalStack, admin: Visit, bea: str) -> None:
    """An admin sees a change whose webhook was lost before overwriting it."""
    stack.clerk.update_metadata(bea, public_metadata={"plan": "team"})
    stack.clerk.webhooks.drain(30)
    functions = Functions(stack.convex)
    with functions.http:
        functions.mutation("users:resetUser", {"clerkId": bea})
        functions.sync([upsert(bea, updated_at=1, observed_at=1, publicMetadata='{"plan":"pro"}')])
    details = open_sheet(admin, bea)
    details.get_by_role("button", name="Edit metadata").click()
    editor = admin.page.get_by_role("dialog", name="Edit public metadata")
    area = editor.get_by_role("textbox", name="JSON")
    expect(area).to_have_value(re.compile("pro"))
    area.fill('{"plan": "free"}')
    save = editor.get_by_role("button", name="Save")
    save.click()
    expect(editor.get_by_role("alert")).to_contain_text("Nothing was saved yet")
    news = editor.get_by_role("region", name="The metadata was changed meanwhile")
    expect(news.get_by_role("listitem")).to_have_text([re.compile('"team"')])
    assert stack.clerk.get_user(bea)["public_metadata"] == {"plan": "team"}
    news.get_by_role("button", name="Put my changes on top").click()
    save.click()
    expect(editor).to_have_count(0)
    assert stack.clerk.get_user(bea)["public_metadata"] == {"plan": "free"}


def test_own_metadata(admin: Visit) -> None:
    """Admins cannot take the role from themselves, as with every other action. What was typed is not lost
    by a slip."""
    details = open_sheet(admin, str(admin.user_id))
    details.get_by_role("button", name="Edit metadata").click()
    editor = admin.page.get_by_role("dialog", name="Edit public metadata")
    editor.get_by_role("textbox", name="JSON").fill("{}")
    expect(editor.get_by_role("status").first).to_contain_text("cannot take the role admin from yourself")
    save = editor.get_by_role("button", name="Save")
    expect(save).to_be_disabled()
    save.dispatch_event("click")
    expect(editor.get_by_role("textbox", name="JSON")).to_be_focused()
    admin.page.keyboard.press("Escape")
    question = admin.page.get_by_role("alertdialog", name="Drop your changes?")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    for _ in range(3):  # Chromium lets nobody prevent each of these
        admin.page.keyboard.press("Escape")
        expect(admin.page.locator("dialog")).to_have_count(2)
        expect(editor.get_by_role("textbox", name="JSON")).to_be_focused()
        admin.page.keyboard.press("Escape")
        expect(question).to_be_visible()
    question.get_by_role("button", name="Cancel").click()
    expect(editor.get_by_role("textbox", name="JSON")).to_have_value("{}")
    editor.get_by_role("button", name="Cancel").click()
    question.get_by_role("button", name="Drop changes").click()
    expect(editor).to_have_count(0)
    expect(details.get_by_role("button", name="Edit metadata")).to_be_focused()
    details.get_by_role("button", name="Edit metadata").click()
    admin.page.keyboard.press("Escape")  # nothing was typed
    expect(editor).to_have_count(0)
    expect(details).to_be_visible()
