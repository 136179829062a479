"""Admins select users and act on all of them, and take back what they did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Locator, expect

from clerk_convex.local.clerk import Faults
from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_accessibility import tab_to

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

DAY = 86_400_000
NAMES = ("Bea", "Cay", "Dot", "Eve")


@pytest.fixture(autouse=True)
def _no_faults(stack: LocalStack, confirmed_callers: None) -> Iterator[None]:
    """Set no faults after a test."""
    yield
    stack.clerk.faults = Faults()


@pytest.fixture
def people(person: People) -> list[str]:
    """Bea, Cay (an editor), Dot and Eve, in the order of the list."""
    roles = {"Cay": "editor"}
    return [
        person(f"{name} Person", created_at=(9 - place) * DAY, role=roles.get(name))
        for place, name in enumerate(NAMES)
    ]


@pytest.fixture
def admin(visit: Visits, person: People, people: list[str]) -> Visit:
    """The page of Ada, an admin, who is the last of the list."""
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    admin.open()
    admin.expect_rows([*people, str(admin.user_id)])
    return admin


def box(admin: Visit, user_id: str) -> Locator:
    return admin.row(user_id).get_by_role("checkbox")


def bar(admin: Visit) -> Locator:
    return admin.page.get_by_role("region", name="Selection")


def selected(admin: Visit) -> list[str]:
    rows = admin.page.locator("[data-clerk-id]:has(:checked)")
    return rows.evaluate_all("rows => rows.map(row => row.dataset.clerkId)")  # type: ignore[no-any-return]


def act(admin: Visit, action: str, button: str) -> None:
    bar(admin).get_by_role("button", name=action, exact=True).click()
    dialog = admin.page.get_by_role("alertdialog").or_(admin.page.get_by_role("dialog"))
    dialog.get_by_role("button", name=button).click()


def told(admin: Visit, text: str) -> Locator:
    return admin.page.get_by_role("status").filter(has_text=text)


def statuses(stack: LocalStack, people: list[str]) -> list[bool]:
    return [bool(stack.clerk.get_user(user_id)["banned"]) for user_id in people]


def actions(admin: Visit) -> list[tuple[Any, Any]]:
    entries = [entry for entry in admin.ask("auditLog") if "action" in entry]
    return [(entry["action"], entry["outcome"]) for entry in entries]


def test_selection(admin: Visit, people: list[str]) -> None:
    """By click, by key, as a range and as a whole. The own row stays out, a click on a box does not open the
    details, and what the list does not show is not selected."""
    bea, cay, dot, eve = people
    expect(bar(admin)).to_be_hidden()
    expect(box(admin, str(admin.user_id))).to_be_disabled()
    admin.row(bea).locator(".check").click(position={"x": 2, "y": 2})  # beside the box
    expect(bar(admin).get_by_role("status")).to_have_text("1 selected")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    box(admin, dot).click(modifiers=["Shift"])
    assert selected(admin) == [bea, cay, dot]
    box(admin, cay).click(modifiers=["Shift"])  # a range of what is off
    assert selected(admin) == [bea]
    expect(admin.page.get_by_role("dialog")).to_have_count(0)

    bar(admin).get_by_role("button", name="Clear").click()
    expect(bar(admin)).to_be_hidden()
    tab_to(admin.page, "Bea Person")
    admin.page.keyboard.press("x")
    admin.page.keyboard.press("ArrowDown")
    admin.page.keyboard.press("ArrowDown")
    admin.page.keyboard.press("Shift+X")
    assert selected(admin) == [bea, cay, dot]

    every = admin.page.get_by_role("checkbox", name="Select all that are shown")
    assert every.evaluate("it => it.indeterminate")
    every.click()
    assert selected(admin) == people
    admin.page.get_by_role("searchbox").fill("eve")
    admin.expect_rows([eve])
    expect(bar(admin).get_by_role("status")).to_have_text("1 selected")
    admin.page.get_by_role("searchbox").fill("nobodyhasthis")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    admin.page.get_by_role("button", name="Clear filters").click()
    admin.expect_rows([*people, str(admin.user_id)])
    expect(bar(admin)).to_be_hidden()


def test_ban_and_undo(stack: LocalStack, admin: Visit, people: list[str]) -> None:
    """The dialog names the users. Clerk has it in one request, each user has a row of the audit log, and Undo
    takes it back, but not of a user who was banned before."""
    asked: list[str] = []
    admin.page.on("request", lambda request: asked.append(request.url) if "/api/" in request.url else None)
    for user_id in people[:3]:
        box(admin, user_id).click()
    bar(admin).get_by_role("button", name="Ban", exact=True).click()
    dialog = admin.page.get_by_role("alertdialog", name="Ban 3 users?")
    expect(dialog.get_by_role("listitem")).to_have_text([f"{name} Person" for name in NAMES[:3]])
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    expect(dialog).to_have_accessible_description(re.compile("Signs these accounts out everywhere"))
    admin.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert asked == []

    stack.clerk.ban(people[3])
    expect(admin.row(people[3])).to_contain_text("Banned")
    box(admin, people[3]).click()
    act(admin, "Ban", "Ban 4 users")
    expect(told(admin, "4 users were banned.")).to_be_visible()
    for user_id in people[:3]:
        expect(admin.row(user_id)).to_contain_text("Banned")
    expect(bar(admin)).to_be_hidden()
    assert statuses(stack, people) == [True, True, True, True]
    assert len(asked) == 1
    assert actions(admin) == [("ban", "done")] * 4
    admin.page.get_by_text("Result of each user").click()
    expect(admin.page.get_by_role("list", name="Results").get_by_role("listitem")).to_have_count(4)

    admin.page.get_by_role("button", name="Undo").click()
    expect(told(admin, "3 users were unbanned.")).to_be_visible()
    expect(admin.row(people[0])).to_contain_text("Active")
    assert statuses(stack, people) == [False, False, False, True]
    expect(admin.page.get_by_role("button", name="Undo")).to_have_count(0)
    admin.page.get_by_role("button", name="Dismiss").click()
    expect(told(admin, "unbanned")).to_have_count(0)


def test_role_and_undo(stack: LocalStack, admin: Visit, people: list[str]) -> None:
    """All get one role. Undo gives each the role from before, or none."""
    bea, cay, *_ = people
    box(admin, bea).click()
    box(admin, cay).click()
    bar(admin).get_by_role("button", name="Change role").click()
    dialog = admin.page.get_by_role("dialog", name="Change role of 2 users")
    dialog.get_by_label("Role", exact=True).fill("member")
    dialog.get_by_role("button", name="Change role of 2 users").click()
    expect(told(admin, "The role of 2 users was changed.")).to_be_visible()
    for user_id in (bea, cay):
        expect(admin.row(user_id).locator(".col-role")).to_have_text("member")
    admin.page.get_by_role("button", name="Undo").click()
    expect(admin.row(cay).locator(".col-role")).to_have_text("editor")
    expect(admin.row(bea).locator(".col-role")).to_contain_text("none")
    assert [stack.clerk.get_user(it)["public_metadata"] for it in (bea, cay)] == [{}, {"role": "editor"}]


def test_one_fails(stack: LocalStack, admin: Visit, people: list[str]) -> None:
    """A user of a company's directory stays, and the others go. The notice has the reason by name, and who
    failed stays selected."""
    bea, cay, *_ = people
    stack.clerk.deprovision(bea)
    expect(admin.row(bea)).to_contain_text("Deprovisioned")
    box(admin, bea).click()
    box(admin, cay).click()
    act(admin, "Delete", "Delete 2 users")
    expect(told(admin, "1 of 2 users was deleted.")).to_be_visible()
    results = admin.page.get_by_role("list", name="Results").get_by_role("listitem")
    expect(results.first).to_have_text(re.compile("Bea Person: .*directory"))
    expect(results.last).to_have_text("Cay Person: done")
    expect(admin.row(cay)).to_have_count(0)
    expect(admin.page.get_by_role("button", name="Undo")).to_have_count(0)
    assert selected(admin) == [bea]


def test_all_fail(stack: LocalStack, admin: Visit, people: list[str]) -> None:
    """While it runs, the rows say so and no other action begins. A request that is refused as a whole changes
    nothing, and the selection stays for another try."""
    admin.expect_complaints("503")
    held: list[Any] = []
    admin.page.route(re.compile("/api/users/bulk"), lambda route: held.append(route))
    box(admin, people[0]).click()
    box(admin, people[1]).click()
    act(admin, "Lock", "Lock 2 users")
    expect(admin.row(people[0])).to_contain_text("Locking…")
    expect(admin.page.get_by_role("progressbar", name="Lock")).to_be_visible()
    expect(bar(admin).get_by_role("button", name="Delete")).to_be_disabled()
    error = {"code": "convex_unavailable", "message": "Convex is down."}
    held.pop().fulfill(status=503, json={"error": error})
    expect(told(admin, "0 of 2 users were locked.")).to_be_visible()
    results = admin.page.get_by_role("list", name="Results").get_by_role("listitem")
    expect(results).to_have_text([re.compile(f"{name} Person: Convex is down") for name in NAMES[:2]])
    expect(admin.row(people[0])).to_contain_text("Active")
    assert selected(admin) == people[:2]


def test_undo_of_a_single_action(stack: LocalStack, admin: Visit, people: list[str]) -> None:
    """The notice of a ban has Undo, and stays while the pointer is on it. That of the unban has none."""
    admin.page.clock.install()
    admin.row(people[0]).get_by_role("button", name="Actions for").click()
    admin.page.get_by_role("menuitem", name="Ban").click()
    admin.page.get_by_role("alertdialog").get_by_role("button", name="Ban Bea Person").click()
    undo = admin.page.get_by_role("button", name="Undo")
    undo.hover()
    admin.page.clock.fast_forward(30_000)
    expect(admin.row(people[0])).to_contain_text("Banned")
    undo.click()
    expect(told(admin, "Bea Person was unbanned.")).to_be_visible()
    expect(undo).to_have_count(0)
    admin.page.mouse.move(0, 0)  # the new notice was under the pointer
    admin.page.clock.fast_forward(7_000)
    expect(told(admin, "Bea Person was unbanned.")).to_have_count(0)
    assert not stack.clerk.get_user(people[0])["banned"]
