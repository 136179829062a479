"""Every state of the page in every look: themes, widths, zoom and forced colours.

A tour goes through states of one page, and yields the name of each. There the look changes, without a
reload, and each is checked: axe finds nothing, and nothing scrolls sideways or is outside of the window. To
add a state, add a `yield` to a tour. `scripts/test tests/dashboard/test_axe.py --every-look` checks each
state in each width and theme, and takes some minutes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from clerk_convex.local.clerk import Faults
from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_access import BAD_TOKENS, NOT_TAKEN, give_tokens
from tests.dashboard.test_accessibility import EVERY_RULE, RULES_OF_SIGHT, settled, violations
from tests.dashboard.test_faults import UNREACHABLE
from tests.support.functions import Functions, start_again

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

DAY = 86_400_000


class Look(NamedTuple):
    width: int
    height: int
    scheme: Literal["light", "dark"]
    rules: dict[str, Any] = RULES_OF_SIGHT
    forced: bool = False


# A window of 1280 x 800 has 640 x 400 at 200 %. Cards and table come in both themes. Names, roles and such
# are the same in each and take axe long, so they are checked once in the cards and once in the table.
LOOKS = {
    "320 px": Look(320, 640, "light", EVERY_RULE),
    "375 px, dark": Look(375, 720, "dark"),
    "200 % zoom": Look(640, 400, "light"),
    "768 px": Look(768, 900, "light"),
    "1440 px, dark": Look(1440, 900, "dark", EVERY_RULE),
    "forced colours": Look(1280, 800, "dark", forced=True),
}
EVERY_LOOK = {
    f"{width} x {height}, {theme}": Look(
        width, height, "light" if theme == "light" else "dark", EVERY_RULE, forced=theme == "forced colours"
    )
    for width, height in ((320, 640), (375, 720), (640, 400), (768, 900), (1024, 768), (1440, 900))
    for theme in ("light", "dark", "forced colours")
}

# What one can press or read and is, at least in part, beyond the left or right edge of the window, dialogs
# beyond any edge, and what is wider than its own box. What a box scrolls or cuts off does not count.
OUTSIDE = """
(() => {
  const scrolls = (it) => it !== null && !it.matches("html, body, dialog") && (
    getComputedStyle(it).overflowX !== "visible" || scrolls(it.parentElement));
  const parts = ":is(a, button, input, select, textarea, summary, h1, h2, h3, p, dialog)";
  return [...document.querySelectorAll(`.ccx ${parts}`)]
    .filter((it) => it.checkVisibility({ visibilityProperty: true }) && !it.closest(".visually-hidden"))
    .filter((it) => {
      const { left, right, top, bottom } = it.getBoundingClientRect();
      if (it.matches("dialog") && (top < -1 || bottom > innerHeight + 1)) return true;
      return (left < -1 || right > innerWidth + 1) && !scrolls(it);
    })
    .map((it) => `beyond the window: ${it.outerHTML.slice(0, 100)}`)
    .concat([...document.querySelectorAll(".ccx *:not(svg *, pre *, thead *, .visually-hidden *)")]
      .filter((it) => it.checkVisibility({ visibilityProperty: true }) && it.clientWidth > 1)
      .filter((it) => it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).overflowX === "visible")
      .map((it) => `wider than its box: ${it.outerHTML.slice(0, 100)}`));
})()
"""

NEXT_FRAME = "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"

State = str | tuple[str, Callable[[], None]]
Tour = Callable[["Visit", LocalStack, "list[str]"], Iterator[State]]


def look_at(page: Page, look: Look) -> list[str]:
    """Return what is wrong at one look."""
    settled(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    sideways = [f"the page is {width} px wide"] if width > look.width else []
    outside: list[str] = page.evaluate(OUTSIDE)
    return [*sideways, *outside, *violations(page, look.rules)]


def problems(
    page: Page, again: Callable[[], None] | None = None, looks: Mapping[str, Look] = LOOKS
) -> list[str]:
    """Return what is wrong at each look. `again` shows what closes when the window changes: a menu."""
    found = []
    for name, look in looks.items():
        page.set_viewport_size({"width": look.width, "height": look.height})
        page.emulate_media(color_scheme=look.scheme, forced_colors="active" if look.forced else "none")
        if again is not None:
            again()
        found += [f"{name}: {it}" for it in look_at(page, look)]
    page.emulate_media(color_scheme="light", forced_colors="none")
    return found


@pytest.fixture(autouse=True)
def _no_faults(stack: LocalStack, confirmed_callers: None) -> Iterator[None]:
    """Set no faults after a test."""
    yield
    stack.clerk.faults = Faults()


@pytest.fixture
def people(stack: LocalStack, person: People) -> list[str]:
    """Bea, Cay (banned), Dot (deprovisioned) and Eve (locked), in the order of the list."""
    bea = person("Bea Person", created_at=9 * DAY, public_metadata={"plan": "gold", "role": "editor"})
    cay = person("Cay Person", created_at=8 * DAY, banned=True)
    dot = person("Dot Person", created_at=7 * DAY)
    eve = person("Eve " + "Wolfeschlegelsteinhausenbergerdorff" * 2, created_at=6 * DAY, locked=True)
    stack.clerk.deprovision(dot)
    return [bea, cay, dot, eve]


def fail_lists(message: dict[str, Any], send: Callable[[], None]) -> None:
    """Turn Convex's answers to queries of pages into failures."""
    for change in message.get("modifications", []):
        if change["type"] == "QueryUpdated" and is_list(change["value"]):
            change |= {"type": "QueryFailed", "errorMessage": "Server Error", "logLines": []}
            del change["value"]
    send()


def is_list(value: Any) -> bool:
    return isinstance(value, dict) and "continueCursor" in value


def menu_button(admin: Visit, user_id: str) -> Locator:
    return admin.row(user_id).get_by_role("button", name="Actions for")


def open_menu(admin: Visit, user_id: str) -> Callable[[], None]:
    """Return what opens the menu of a user, if it is not open."""
    menu = admin.page.get_by_role("menu")

    def show() -> None:
        admin.page.evaluate(
            NEXT_FRAME
        )  # a change of the window, or scrolling to the button, closes an open one
        if menu.count() == 0:
            menu_button(admin, user_id).scroll_into_view_if_needed()
            admin.page.evaluate(NEXT_FRAME)
            menu_button(admin, user_id).click()
        expect(menu).to_be_visible()

    return show


def choose(admin: Visit, user_id: str, action: str) -> None:
    menu_button(admin, user_id).click()
    admin.page.get_by_role("menu").get_by_role("menuitem", name=re.compile(f"^{action}")).click()


def the_list(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    held: list[Callable[[], None]] = []
    holds = True

    def hold(message: dict[str, Any], send: Callable[[], None]) -> None:
        if holds:
            held.append(send)
        else:
            send()

    admin.intercept(hold)
    admin.open()
    expect(page.locator("[aria-busy=true]").first).to_be_attached()
    yield "loading"
    holds = False
    for send in held:
        send()
    admin.expect_rows([*people, str(admin.user_id)])
    yield "the list"
    yield "a menu", open_menu(admin, people[0])
    page.keyboard.press("Escape")
    yield "the own menu", open_menu(admin, str(admin.user_id))
    page.keyboard.press("Escape")
    account = page.get_by_role("button", name="Your account")
    account.click()
    yield "the account"
    page.get_by_role("button", name="Keys of this page").click()
    yield "the keys"
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("per")
    expect(page.locator("[data-clerk-id]")).to_have_count(3)
    yield "a search"
    page.get_by_role("searchbox").fill("nobodyhasthis")
    expect(page.get_by_role("heading", name="No match")).to_be_visible()
    yield "no match"


def the_filters(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    holds = fails = False
    held: list[Callable[[], None]] = []

    def hold(message: dict[str, Any], send: Callable[[], None]) -> None:
        if holds and any(is_list(change.get("value")) for change in message.get("modifications", [])):
            held.append(send)
        elif fails:
            fail_lists(message, send)
        else:
            send()

    admin.intercept(hold)
    admin.open()
    admin.expect_rows([*people, str(admin.user_id)])
    panel = page.get_by_role("dialog", name="Filters")

    def open_panel() -> None:
        if panel.count() == 0:
            page.get_by_role("button", name=re.compile("^Filter")).click()

    open_panel()
    panel.get_by_label("Joined", exact=True).select_option("Dates…")
    panel.get_by_label("From").fill("1970-01-10")
    panel.get_by_label("To").fill("1970-01-02")
    expect(panel.get_by_role("alert")).to_be_visible()
    yield "the filters, with wrong dates", open_panel
    page.keyboard.press("Escape")
    admin.open(role="editor", verified="yes", joined="..2020-02-01", signin="never")
    admin.expect_rows(people[:1])
    yield "chips of filters, and what was found"

    holds = True
    csv = page.get_by_role("button", name="Export as CSV")
    csv.click()
    expect(page.get_by_role("progressbar", name="Export as CSV")).to_be_visible()
    yield "an export"
    holds, fails = False, True
    page.get_by_role("group", name="Export as CSV").get_by_role("button", name="Cancel").click()
    for send in held:
        send()
    csv.click()
    expect(page.get_by_role("alert")).to_contain_text("could not be made")
    yield "an export that failed"
    fails = False
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 user written to")).to_be_visible()
    yield "an export that ended"


def the_changes(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    admin.open()
    admin.expect_rows([*people, str(admin.user_id)])
    # As if the pointer were over the list. The real one leaves it when the width changes.
    page.locator(".users-table tbody").dispatch_event("pointermove")
    made = stack.clerk.create_user(first_name="Nova", last_name="Newcomer", created_at=20 * DAY)
    expect(page.get_by_role("button", name="1 new user")).to_be_visible()
    stack.clerk.delete_user(people[2])
    expect(page.get_by_text("No longer in this list")).to_be_visible()
    yield "a user who waits, and one who is gone"
    page.get_by_role("button", name="1 new user").press("Enter")
    expect(admin.row(str(made["id"]))).to_be_visible()
    stack.clerk.delete_user(str(made["id"]))


def the_invitations(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page, path = admin.page, "/dashboard/invitations"
    admin.expect_complaints("422", "402", "net::ERR_FAILED")
    holds = True
    held: list[Route] = []

    def hold(route: Route) -> None:
        if holds:
            held.append(route)
        else:
            route.fallback()

    page.route(re.compile("/api/users/invitations"), hold)
    admin.open(path)
    expect(page.get_by_text("Asking Clerk…").first).to_be_visible()
    yield "loading"
    holds = False
    for route in held:
        route.continue_()
    expect(page.get_by_role("heading", name="No invitations")).to_be_visible()
    yield "no invitations"
    page.get_by_role("button", name="Invite", exact=True).click()
    form = page.get_by_role("dialog", name="Invite a user")
    form.get_by_label("Email").fill("new@")
    form.get_by_role("button", name="Send invitation").click()
    expect(form.get_by_role("alert")).to_be_visible()
    yield "inviting, with a wrong address"
    form.get_by_label("Email").fill(f"{'a' * 60}@{'b' * 60}.example.com")
    form.get_by_role("button", name="editor").click()
    form.get_by_role("button", name="Send invitation").click()
    expect(page.locator("[data-invitation-id]")).to_have_count(1)
    yield "an invitation, and the notice of it"
    page.get_by_role("button", name=re.compile("^Revoke the invitation")).click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    yield "the question before it is revoked"
    page.keyboard.press("Escape")
    page.route(re.compile("/api/users/invitations"), lambda route: route.abort())
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    yield "no service"
    page.unroute_all()
    admin.open(path, q="nobody", status="revoked")
    expect(page.get_by_role("heading", name="No match")).to_be_visible()
    yield "no match"
    stack.clerk.faults = Faults(status=402, code="unsupported_subscription_plan_features")
    admin.open(path)
    expect(page.get_by_role("alert")).to_contain_text("plan does not include this")
    yield "a plan without invitations"


def the_selection(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    admin.open()
    admin.row(people[0]).get_by_role("checkbox").click()
    admin.row(people[3]).get_by_role("checkbox").click()
    bar = page.get_by_role("region", name="Selection")
    expect(bar).to_be_visible()
    yield "the selection"
    bar.get_by_role("button", name="Change role").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "the role of several"
    page.keyboard.press("Escape")
    bar.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    yield "deleting several"
    page.keyboard.press("Escape")

    held: list[Route] = []
    page.route(re.compile("/api/users/bulk"), lambda route: held.append(route))
    bar.get_by_role("button", name="Ban", exact=True).click()
    page.get_by_role("alertdialog").get_by_role("button", name="Ban 2 users").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    yield "banning several"
    held.pop().continue_()
    page.unroute_all()
    page.get_by_text("Result of each user").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    yield "several were banned"


def the_forms(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    admin.expect_complaints("422", "409")
    admin.open()
    page.get_by_role("button", name="New user", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "a new user"
    page.get_by_label("Email").fill("nonsense")
    page.get_by_role("button", name="Create user").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "wrong fields"
    page.keyboard.press("Escape")
    choose(admin, people[0], "Edit")
    yield "editing"
    page.keyboard.press("Escape")
    choose(admin, people[0], "Change role")
    page.get_by_role("dialog").get_by_role("button", name="admin", exact=True).click()
    yield "a role"
    page.keyboard.press("Escape")
    stack.clerk.faults = Faults(delay=60, status=409, code="resource_locked")
    choose(admin, people[0], "Ban")
    expect(page.get_by_role("alertdialog")).to_be_visible()
    yield "the question before a ban"
    page.get_by_role("alertdialog").get_by_role("button", name=re.compile("^Ban")).click()
    expect(admin.row(people[0])).to_contain_text("Banning…")
    yield "banning"
    stack.clerk.faults = Faults(status=409, code="resource_locked")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "a notice of a failure"
    admin.row(str(admin.user_id)).get_by_role("link").click()
    expect(page.get_by_role("group", name="Actions")).to_be_visible()
    yield "a failure and the details"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    stack.clerk.faults = Faults()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    yield "a notice with Undo"


def the_details(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    admin.expect_complaints("403")
    for _ in range(2):
        stack.clerk.sign_in(people[0])
    admin.open(user=people[0])
    details = page.get_by_role("dialog", name="User")
    expect(details).to_contain_text(people[0])
    yield "the details"
    details.get_by_role("button", name="Show sessions").click()
    expect(details.get_by_role("region", name="Sessions").get_by_role("listitem")).to_have_count(2)
    details.get_by_role("button", name="Show addresses").click()
    expect(details.get_by_role("region", name="Addresses").get_by_role("listitem")).to_have_count(1)
    yield "the sessions and the addresses"
    details.get_by_role("button", name="Edit metadata").click()
    editor = page.get_by_role("dialog", name="Edit public metadata")
    area = editor.get_by_role("textbox", name="JSON")
    area.fill('{\n  "plan": pro\n}')
    expect(area).to_have_attribute("aria-invalid", "true")
    yield "wrong JSON"
    area.fill('{"plan": 12345678901234567890, "role": "admin", "note": "' + "long" * 30 + '"}')
    expect(editor.get_by_role("alert")).to_be_visible()
    yield "changed metadata"
    stack.clerk.update_metadata(people[0], public_metadata={"plan": "team"})
    expect(editor.get_by_role("region", name="The metadata was changed meanwhile")).to_be_visible()
    yield "metadata that was changed meanwhile"
    page.keyboard.press("Escape")
    yield "dropping what was typed"
    page.get_by_role("button", name="Drop changes").click()
    expect(editor).to_have_count(0)
    details.get_by_role("button", name="Revoke all").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    yield "revoking all sessions"
    page.keyboard.press("Escape")
    details.get_by_role("button", name="Sync now").click()
    expect(details.get_by_role("status").filter(has_text="as Clerk has it")).to_be_visible()
    yield "synced"
    stack.clerk.faults = Faults(status=403, code="not_allowed", message="Not here.")
    details.get_by_role("button", name="Sync now").click()
    expect(details.get_by_role("alert")).to_be_visible()
    yield "not synced"
    stack.clerk.faults = Faults()
    stack.clerk.delete_user(people[0])
    expect(details.get_by_role("heading", name="Bea Person was deleted")).to_be_visible()
    yield "the details of a deleted user"
    admin.open(user=people[3])
    expect(details).to_contain_text(people[3])
    yield "a long name"
    admin.open(user=str(admin.user_id))
    expect(details).to_contain_text("This is you")
    yield "the own details"


def the_audit_log(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    admin.open("/dashboard/audit")
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    yield "the audit log"
    admin.open("/dashboard/audit", user=people[3], outcome="created", **{"from": "2026-01-02"})
    page.get_by_role("button", name="Details: ").first.click()
    page.get_by_role("combobox", name="Administrator").fill("a")
    expect(page.get_by_role("listbox").get_by_role("option").first).to_be_visible()
    yield "a filtered audit log with open details"
    admin.open("/dashboard/audit", user="user_nobody")
    expect(page.get_by_role("main").get_by_role("heading", level=2)).to_be_visible()
    yield "an empty audit log"


def the_troubles(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page = admin.page
    admin.expect_complaints("Server Error", UNREACHABLE)
    refusal = {"clerkId": people[0], "source": "webhook", "reason": "Convex said no.", "count": 1}
    functions = Functions(stack.convex)
    with functions.http:
        refusal["observedAt"] = time.time() * 1000
        functions.mutation("users:recordRefusals", {"refusals": [refusal]})
    admin.open()
    page.get_by_text("Changes of 1 user were refused").click()
    expect(page.get_by_text("Convex said no.")).to_be_visible()
    yield "refused changes"
    admin.intercept(fail_lists)
    admin.open()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    yield "a failed list"
    stack.convex.stop()
    try:
        expect(page.get_by_role("status").filter(has_text="Offline")).to_be_visible()
        yield "offline"
        page.reload()
        expect(page.get_by_role("status").filter(has_text="Offline")).to_be_visible()
        yield "offline from the start"
    finally:
        start_again(stack.convex)


def the_access_pages(admin: Visit, stack: LocalStack, people: list[str]) -> Iterator[State]:
    page, me = admin.page, str(admin.user_id)
    admin.expect_complaints(NOT_TAKEN, "404")
    reason = page.locator(".access")
    give_tokens(admin, BAD_TOKENS["signed by another key"])
    admin.open()
    expect(reason).to_have_attribute("data-reason", "not_accepted")
    yield "not accepted"
    admin.context.unroute_all()
    page.route("**/api/users/me", lambda route: route.fulfill(status=404))
    stack.convex.clear()
    admin.open()
    expect(reason).to_have_attribute("data-reason", "not_synced")
    yield "not synced"
    stack.clerk.update_user(me, last_name="Adminsdottir")
    expect(admin.row(me)).to_be_visible()
    stack.clerk.update_metadata(me, public_metadata={"role": "member"})
    expect(reason).to_have_attribute("data-reason", "not_admin")
    yield "no admin"
    stack.clerk.lock(me)
    expect(reason).to_have_attribute("data-reason", "not_active")
    yield "locked"
    stack.clerk.delete_user(me)
    expect(reason).to_have_attribute("data-reason", re.compile("deleted|not_accepted|not_signed_in"))
    yield "deleted"
    admin.context.clear_cookies()
    admin.open()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    yield "signed out"
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("button", name="Otto Ordinary")).to_be_visible()
    yield "the sign-in page of the local Clerk"


TOURS: tuple[Tour, ...] = (
    *(the_list, the_filters, the_changes, the_selection, the_forms, the_details, the_invitations),
    *(the_audit_log, the_troubles, the_access_pages),
)


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.__name__)
def test_every_state(
    tour: Tour,
    stack: LocalStack,
    visit: Visits,
    person: People,
    people: list[str],
    pytestconfig: pytest.Config,
) -> None:
    """axe finds nothing, targets have 24 px, nothing scrolls sideways or is outside of the window."""
    looks = EVERY_LOOK if pytestconfig.getoption("--every-look") else LOOKS
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    found = []
    for state in tour(admin, stack, people):
        name, again = state if isinstance(state, tuple) else (state, None)
        found += [f"{name}, {it}" for it in problems(admin.page, again, looks)]
    assert found == [], "\n" + "\n".join(found)


BROKEN = """
<!doctype html><html lang="en" style="color-scheme: light dark; background: Canvas"><title>Broken</title>
<main class="ccx">
<h1 style="color: light-dark(#999, #fff); background: light-dark(#fff, #000); width: 9px">Pale in light</h1>
<button style="font-size: 5px; padding: 0">a</button><button style="font-size: 5px; padding: 0">b</button>
<p style="width: 900px">Wide</p>
<p style="overflow: hidden"><a href="#" style="margin-left: 2000px">Cut off</a></p>
<dialog open aria-label="Tall" style="position: fixed; inset: 0 0 auto auto; height: 500px"></dialog>
</main></html>
"""


def test_the_checks_find_what_is_wrong(browser: Browser) -> None:
    """Each kind of fault is found, in the looks that have it, and only there."""
    page = browser.new_page()
    page.set_content(BROKEN)
    found = problems(page)
    page.close()

    def looks(what: str) -> set[str]:
        return {it.partition(":")[0] for it in found if what in it}

    assert looks("target-size") == {*LOOKS}
    assert looks("color-contrast") == {"320 px", "200 % zoom", "768 px"}
    assert looks("px wide") == looks("Wide") == {*LOOKS} - {"1440 px, dark", "forced colours"}
    assert looks("Tall") == {"200 % zoom"}
    assert looks("beyond the window: <a") == set()
    assert looks("wider than its box: <h1") == {*LOOKS}


# The controls that can have the focus and show nothing then. A shadow is not drawn in forced colours.
UNMARKED = """
() => {
  const found = [];
  for (const it of document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")) {
    if (!it.checkVisibility({ visibilityProperty: true }) || it.disabled || it.closest("[inert]")) continue;
    it.focus({ focusVisible: true });
    if (document.activeElement !== it) continue;
    const near = [it, it.parentElement, it.parentElement.parentElement];
    const isMarked = near.some((part) => {
      const { outlineStyle, outlineWidth } = getComputedStyle(part);
      return outlineStyle !== "none" && outlineWidth !== "0px";
    });
    if (!isMarked) found.push(it.outerHTML.slice(0, 120));
  }
  return found;
}
"""


def test_focus_is_visible_in_forced_colours(visit: Visits, person: People, people: list[str]) -> None:
    """Each control of the list, of the details and of a form has an outline, which forced colours keep."""
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), forced_colors="active")
    admin.open()
    admin.expect_rows([*people, str(admin.user_id)])
    admin.row(people[0]).get_by_role("checkbox").click()
    assert admin.page.evaluate(UNMARKED) == []
    admin.open(user=people[0])
    expect(admin.page.get_by_role("dialog")).to_contain_text(people[0])
    assert admin.page.evaluate(UNMARKED) == []
    admin.page.keyboard.press("Escape")
    admin.page.get_by_role("button", name="New user", exact=True).click()
    expect(admin.page.get_by_role("dialog")).to_be_visible()
    assert admin.page.evaluate(UNMARKED) == []
