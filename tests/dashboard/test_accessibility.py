"""Accessibility: axe, the keyboard, narrow screens, reduced motion, and names of every kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from clerk_convex.local.demo.people import ODDITIES, ordinary
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT

if TYPE_CHECKING:
    from tests.support.browser import People, Visits

pytest_plugins = ["tests.support.browser"]

AXE = (ROOT / "node_modules/axe-core/axe.min.js").read_text()
# Only what is wrong, which is quicker; and controls have at least 24 px, which axe does not check by itself.
OPTIONS: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
RUN_AXE = """
async (options) => {
  const dialog = [...document.querySelectorAll("dialog:modal, :popover-open")].at(-1);
  return (await axe.run(dialog ?? document, options)).violations;
}
"""
EVERY_RULE = {**OPTIONS, "rules": {"target-size": {"enabled": True}}}
RULES_OF_SIGHT = {**OPTIONS, "runOnly": ["color-contrast", "target-size"]}
WIDE: ViewportSize = {"width": 1280, "height": 800}
SMALL: ViewportSize = {"width": 320, "height": 640}
NARROW: ViewportSize = {"width": 360, "height": 740}
TALL: ViewportSize = {"width": 1280, "height": 2400}


def settled(page: Page) -> None:
    """Wait until no animation runs. One that is removed meanwhile does not count."""
    page.evaluate(
        "Promise.all(document.getAnimations()"
        ".filter(it => it.effect.getTiming().iterations !== Infinity).map(it => it.finished.catch(() => {})))"
    )


def violations(page: Page, options: dict[str, Any] = EVERY_RULE) -> list[str]:
    """Return the findings of axe, one line each: the rule, what it wants and the elements.

    It looks at the open dialog or menu, because all else is inert or covered then, or at the page.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate(RUN_AXE, options)
    return [f"{it['id']}: {it['help']}: {[node['html'] for node in it['nodes']]}" for it in found]


def check_looks(
    page: Page, *viewports: ViewportSize, schemes: Sequence[Literal["light", "dark"]] = ("light",)
) -> None:
    """Check at each size and in each theme that axe finds nothing and that nothing scrolls sideways."""
    for viewport in viewports:
        page.set_viewport_size(viewport)
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            settled(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert violations(page) == [], (viewport, scheme)


@pytest.fixture
def crowd(stack: LocalStack) -> list[str]:
    """One user for each oddity, the newest last."""
    ids = []
    for number, make_odd in enumerate(ODDITIES):
        fields = ordinary(number)
        make_odd(fields, number)
        ids.append(stack.clerk.create_user(**{**fields, "created_at": (number + 2) * 86_400_000})["id"])
    return ids


SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries()) {
    const nodes = sources.map(({ node }) => (node?.outerHTML ?? node?.textContent)?.slice(0, 200));
    window.shifts.push(`${value}: ${nodes.join(" ")}`);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("viewport", [NARROW, TALL], ids=["narrow", "tall"])
@pytest.mark.parametrize("path", ["/dashboard/users", "/dashboard/audit"])
@pytest.mark.parametrize("count", [2, 40])
def test_elements_keep_their_place_while_the_page_loads(
    count: int, path: str, viewport: ViewportSize, visit: Visits, person: People
) -> None:
    """An element that is visible from the first moment stays where it is, however late each answer
    arrives."""
    for number in range(count):
        person(f"Person Number{number}")
    admin = visit(person("Adele Adminson", role="admin"), viewport=viewport)
    held: list[Callable[[], None]] = []
    holds = True

    def hold(message: dict[str, Any], send: Callable[[], None]) -> None:
        if holds and message["type"] == "Transition":
            held.append(send)
        else:
            send()

    admin.intercept(hold)
    admin.page.add_init_script(SHIFTS)
    admin.open(path)
    for _ in range(2):  # first the caller, then the data
        while not held:
            admin.page.evaluate("new Promise(requestAnimationFrame)")
        assert admin.shown() == []
        for send in held:
            send()
        held.clear()
        admin.page.evaluate("new Promise(requestAnimationFrame)")
    holds = False
    for send in held:
        send()
    expect(admin.page.locator("[data-clerk-id]").first).to_be_visible()
    admin.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert admin.page.evaluate("window.shifts") == []


FOCUS = """
() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const isMarked = (it) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(it);
    return (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none";
  };
  const near = [element, element.parentElement, element.parentElement.parentElement];
  return {
    name: (element.getAttribute("aria-label") ?? element.textContent).trim().replace(/\\s+/g, " "),
    isMarked: near.some(isMarked),
    isInDialog: element.closest("dialog") !== null,
  };
}
"""


def press(page: Page, key: str) -> dict[str, Any]:
    """Press the key, and return the element with the focus. It must be visible."""
    page.keyboard.press(key)
    focus: dict[str, Any] | None = page.evaluate(FOCUS)
    if focus is None:
        return {"name": None, "isInDialog": False}
    assert focus["isMarked"], f"The focus is on {focus['name']}, and nothing shows it."
    return focus


def tab_to(page: Page, name: str) -> list[str]:
    """Press Tab until the element has the focus. Return the elements on the way."""
    passed: list[str] = []
    while not passed or not re.match(name, passed[-1] or ""):
        passed.append(press(page, "Tab")["name"])
        assert len(passed) < 40, passed
    return passed


def test_everything_by_keyboard(visit: Visits, person: People, stack: LocalStack) -> None:
    """Search, filter, sort, details, the other page and signing out work without a mouse, with a visible
    focus."""
    users = [person(f"{name} Person") for name in ("Bea", "Cay", "Dot")]
    admin = visit(person("Adele Adminson", role="admin", created_at=86_400_000))
    admin.open()
    admin.expect_rows([*reversed(users), str(admin.user_id)])
    page = admin.page

    passed = tab_to(page, "Search users")
    assert [it for it in passed if it in ("Users", "Audit log")] == ["Users", "Audit log"]
    page.keyboard.type("cay")
    admin.expect_rows([users[1]])
    press(page, "Escape")
    admin.expect_rows([*reversed(users), str(admin.user_id)])

    tab_to(page, "Banned")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No banned users")).to_be_visible()
    tab_to(page, "Clear filters")
    page.keyboard.press("Enter")
    admin.expect_rows([*reversed(users), str(admin.user_id)])
    expect(page.get_by_role("searchbox", name="Search users")).to_be_focused()

    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search users")).to_be_focused()
    tab_to(page, "Name")
    page.keyboard.press("Space")
    admin.expect_rows([str(admin.user_id), *users])

    tab_to(page, "Adele Adminson")
    assert press(page, "ArrowDown")["name"] == "Bea Person"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(users[0])
    inside = [press(page, "Tab") for _ in range(20)]
    assert {it["name"] for it in inside if not it["isInDialog"]} <= {None}  # the browser's own
    assert {"Close", "Copy email", "Copy clerk id"} <= {it["name"] for it in inside}
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search users")).not_to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(admin.row(users[0]).get_by_role("link")).to_be_focused()

    page.keyboard.press("/")
    for _ in range(12):
        if press(page, "Shift+Tab")["name"] == "Audit log":
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/dashboard/audit$"))
    expect(page.get_by_role("table", name="Audit log")).to_be_visible()
    tab_to(page, "Your account")
    page.keyboard.press("Enter")
    tab_to(page, "Sign out")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_nothing_moves_with_reduced_motion(stack: LocalStack, visit: Visits, person: People) -> None:
    """With prefers-reduced-motion nothing slides or pulses. A changed row is still marked."""
    user_id = person("Bea Person")
    admin = visit(person("Adele Adminson", role="admin"), reduced_motion="reduce")
    admin.page.add_init_script(
        "window.moved = new Set();"
        "addEventListener('animationstart', ({ target, animationName }) => {"
        "  const frames = target.getAnimations().flatMap(it => it.effect.getKeyframes());"
        "  if (frames.some(it => it.transform ?? it.translate ?? it.scale)) window.moved.add(animationName);"
        "});"
    )
    admin.open(user=user_id)
    expect(admin.page.get_by_role("dialog")).to_contain_text(user_id)
    admin.page.keyboard.press("Escape")
    stack.clerk.ban(user_id)
    expect(admin.row(user_id)).to_contain_text("Banned")
    assert admin.page.evaluate("[...window.moved]") == []
    endless = "document.getAnimations().filter(it => it.effect.getTiming().iterations === Infinity).length"
    assert admin.page.evaluate(endless) == 0


# The elements that overflow the window, or visibly overflow their own box.
TOO_WIDE = """
[...document.querySelectorAll("[data-clerk-id], [data-clerk-id] *, dialog, dialog :not(pre *)")]
  .filter((it) => !it.matches(".visually-hidden *"))
  .filter((it) => it.checkVisibility() && (
    it.getBoundingClientRect().right > innerWidth + 1 ||
    it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 1 && getComputedStyle(it).overflowX === "visible"
  ))
  .concat(document.documentElement.scrollWidth > innerWidth ? [document.documentElement] : [])
  .map((it) => it.outerHTML.slice(0, 100))
"""


def test_odd_names_fit(visit: Visits, person: People, crowd: list[str]) -> None:
    """Users with long names, right-to-left names, no name or no address: every row has a name, and none makes
    the page wider."""
    long = person("Wolfeschlegelsteinhausenbergerdorff" * 3 + " " + "x" * 200, role="r" * 120)
    arabic = person("محمد الفارسي", email_address=[f"{'a' * 60}@{'b' * 60}.example.com"])
    admin = visit(person("Adele Adminson", role="admin"))
    for user_id in (None, long, arabic, crowd[1], crowd[10]):
        admin.open(**({} if user_id is None else {"user": user_id}))
        expect(admin.row(long)).to_be_attached()
        if user_id is not None:
            expect(admin.page.get_by_role("dialog")).to_contain_text(user_id)
        for viewport in (WIDE, NARROW):
            admin.page.set_viewport_size(viewport)
            settled(admin.page)
            assert admin.page.evaluate(TOO_WIDE) == [], (viewport, user_id)
    texts = "links => links.map(link => link.textContent.trim())"
    names = admin.page.locator("[data-clerk-id]").get_by_role("link").evaluate_all(texts)
    assert all(names)
    assert len(names) == len(crowd) + 3


def test_one_user_alone(visit: Visits, person: People) -> None:
    """The first admin sees their own row."""
    admin = visit(person("Adele Adminson", role="admin"))
    admin.open()
    admin.expect_rows([str(admin.user_id)])
    expect(admin.page.get_by_role("region", name="Totals")).to_contain_text(re.compile(r"Users\s*1"))
    expect(admin.page.get_by_text("1 of 1")).to_be_visible()


def test_the_keys_are_listed(visit: Visits, person: People) -> None:
    """For the page that is open, on "?" and from the own menu; but a "?" in the search is typed."""
    admin = visit(person("Adele Adminson", role="admin"))
    admin.open()
    page = admin.page
    keys = page.get_by_role("dialog", name="Keys")
    menu = page.get_by_role("button", name="Your account")
    menu.click()
    page.get_by_role("button", name="Keys of this page").click()
    expect(keys.get_by_role("row", name="Select the row")).to_have_text(re.compile("^x"))
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)
    expect(menu).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.press("?")
    expect(page.get_by_role("searchbox")).to_have_value("?")
    expect(keys).to_have_count(0)
    page.get_by_role("link", name="Audit log", exact=True).click()
    page.get_by_role("heading", name="Audit log").wait_for(state="attached")
    page.keyboard.press("?")
    expect(keys).to_be_visible()
    expect(keys.get_by_role("row", name="Select the row")).to_have_count(0)
    keys.get_by_role("button", name="Close").click()
    expect(keys).to_have_count(0)
