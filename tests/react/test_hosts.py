"""The pages in apps with other routers, and under React 18, signed in by Clerk's own provider."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import ConsoleMessage, Route, expect

from clerk_convex.local.convex.deployment import _node
from tests.dashboard.test_accessibility import settled
from tests.dashboard.test_axe import OUTSIDE
from tests.support.functions import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from clerk_convex.local.stack import LocalStack
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

HOSTS = ROOT / "tests" / "react" / "hosts"
DAY = 86_400_000


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the script of each app, and with the stand-in for Clerk's."""
    folder = tmp_path_factory.mktemp("hosts")
    command = [str(_node()), str(HOSTS / "bundle.ts"), str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return folder


def use_local_clerk(context: BrowserContext, bundles: Path, stack: LocalStack) -> None:
    """Let @clerk/react find the local Clerk in this browser."""
    context.grant_permissions(["local-network-access"])  # a document of Playwright's comes from no network
    script = (bundles / "clerk.js").read_text()
    context.add_init_script(f"var clerkUrl = {json.dumps(stack.clerk.url)};\n{script}")


def complaints_of(visit: Visit) -> list[str]:
    """Return a list that gets the errors and warnings of the console."""
    found: list[str] = []

    def note(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            found.append(said.text)

    visit.page.on("console", note)
    visit.page.on("pageerror", lambda error: found.append(str(error)))
    return found


def travel(visit: Visit, base: str, bea: str) -> None:
    """Go through the list, the details, the audit log and a search, back and forth, and reload."""
    page = visit.page
    cay = visit.shown()[1]
    both = [bea, cay, str(visit.user_id)]
    visit.row(bea).get_by_role("link").click()
    details = page.get_by_role("dialog", name="User")
    expect(details).to_contain_text(bea)
    expect(page).to_have_url(f"{base}/users?user={bea}")
    page.go_back()
    expect(details).to_have_count(0)
    page.go_forward()
    expect(details).to_contain_text(bea)
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    expect(page).to_have_url(f"{base}/users")

    page.get_by_role("link", name="Audit log", exact=True).click()
    expect(page.get_by_role("table", name="Audit log")).to_contain_text("Bea Person")
    expect(page).to_have_url(f"{base}/audit")
    page.go_back()
    visit.expect_rows(both)

    page.get_by_role("searchbox", name="Search users").fill("cay")
    visit.expect_rows([cay])
    expect(page).to_have_url(f"{base}/users?q=cay")
    page.reload()
    visit.expect_rows([cay])
    expect(page.get_by_role("searchbox", name="Search users")).to_have_value("cay")


def visit_app(admin: Visit, host: str, bundles: Path) -> str:
    """Let the browser find an app below the address that is returned."""
    stack = admin.stack
    path, base = f"/hosts/{host}", f"{stack.url}/hosts/{host}"
    scripts = {"/app.js": bundles / f"{host}.js", "/styles.css": ROOT / "react/dist/styles.css"}
    document = (
        f'<!doctype html><html lang="en" data-base="{path}" data-convex="{stack.convex.url}">'
        f'<title>Acme</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{path}/styles.css">'
        f'<div id="root"></div><script src="{path}/app.js"></script></html>'
    )

    def serve(route: Route) -> None:
        file = scripts.get(route.request.url.removeprefix(base))
        if file is None:
            route.fulfill(body=document, content_type="text/html")
        else:
            route.fulfill(path=file)

    admin.page.route(re.compile(f"^{re.escape(base)}/"), serve)
    use_local_clerk(admin.context, bundles, stack)
    return base


@pytest.mark.parametrize("host", ["history", "react-18", "react-router", "wouter"])
def test_the_pages_in_an_app(host: str, bundles: Path, visit: Visits, person: People) -> None:
    """The list, the details, the audit log and a search work, with the back button and after a reload, and
    React has nothing to say. Admins act through the service."""
    bea = person("Bea Person", created_at=3 * DAY)
    cay = person("Cay Person", created_at=2 * DAY)
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    base = visit_app(admin, host, bundles)
    complaints = complaints_of(admin)
    admin.open(f"/hosts/{host}/users")
    admin.expect_rows([bea, cay, str(admin.user_id)])
    expect(admin.page.get_by_role("button", name="New user", exact=True)).to_be_enabled()
    version = {"react-18": "18"}.get(host, "19")
    assert admin.page.evaluate("document.documentElement.dataset.react").split(".")[0] == version
    travel(admin, base, bea)
    assert complaints == []


def test_what_belongs_to_the_app(bundles: Path, visit: Visits, person: People) -> None:
    """Its link and its field in a row work, the keys of the page do not take what is typed into its own
    fields, and what is open follows when it scrolls in an element."""
    person("Bea Person", created_at=3 * DAY)
    cay = person("Cay Person", created_at=2 * DAY)
    admin = visit(
        person("Ada Adminson", role="admin", created_at=DAY),
        reduced_motion="reduce",
        viewport={"width": 1280, "height": 1000},
    )
    base = visit_app(admin, "team", bundles)
    complaints = complaints_of(admin)
    page = admin.page
    admin.open("/hosts/team/users")
    row, dialog = admin.row(cay), page.get_by_role("dialog")
    expect(row).to_be_visible()
    chat = page.get_by_label("open chat")
    chat.click()
    page.keyboard.type("./?")
    expect(chat).to_have_value("./?")
    page.keyboard.press("Tab")  # into the closed root
    page.keyboard.type("./?")
    expect(dialog).to_have_count(0)
    assert page.evaluate("document.activeElement.localName") == "team-chat"

    field = row.get_by_label("Seats")
    field.click()
    page.keyboard.type("x/2")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(field).to_have_value("x/2")
    expect(field).to_be_focused()
    expect(row.get_by_role("checkbox")).not_to_be_checked()
    row.get_by_role("link", name="Plan").click()
    expect(page).to_have_url(f"{base}/users#plan-of-{cay}")
    expect(dialog).to_have_count(0)

    filters = page.get_by_role("button", name="Filter", exact=True)
    filters.click()
    panel = page.get_by_role("dialog", name="Filters")
    expect(panel).to_be_visible()
    gap = "([button, panel]) => panel.getBoundingClientRect().top - button.getBoundingClientRect().bottom"
    handles = [filters.element_handle(), panel.element_handle()]
    before = page.evaluate(gap, handles)
    page.locator("main").first.evaluate("it => it.scrollBy(0, 40)")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    assert page.evaluate(gap, handles) == before
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Actions").click()
    expect(page.get_by_role("menu")).to_be_visible()
    page.locator("main").first.evaluate("it => it.scrollBy(0, -40)")
    expect(page.get_by_role("menu")).to_have_count(0)

    admin.open("/hosts/team/users", keys="off")
    row.get_by_role("link", name="Cay Person").focus()
    page.keyboard.type("x/?")
    expect(row.get_by_role("link", name="Cay Person")).to_be_focused()
    expect(row.get_by_role("checkbox")).not_to_be_checked()
    expect(dialog).to_have_count(0)
    assert page.locator("[aria-keyshortcuts]").count() == 0
    page.keyboard.press("ArrowDown")
    expect(row.get_by_role("link", name="Cay Person")).not_to_be_focused()
    page.get_by_role("button", name="Your account").click()
    page.get_by_role("button", name="Keys of this page").click()
    expect(dialog.get_by_role("row")).to_have_count(4)  # with the head
    assert complaints == []


# What the pages show, or have as a name or a hint of an element, outside of the brackets of the catalogue's
# texts. Data is no text: names, roles, addresses, codes, times, and days as Austria writes them.
UNTRANSLATED = r"""
(() => {
  const data = "time, code, kbd, pre, bdi, [dir=auto], .avatar, .tag, option[value]:not([value=''])";
  const isText = (text) => /\p{L}{2}/u.test(text)
    && !/@|^\s*(\p{L}+, )?\d+\. \p{L}+\.?( \d{4})?\s*$/u.test(text);
  const found = [];
  let depth = 0;
  const walker = document.createTreeWalker(document.querySelector(".ccx"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    let outside = "";
    for (const letter of walker.currentNode.nodeValue) {
      if (letter === "⟦") depth++;
      else if (letter === "⟧") depth--;
      else if (depth === 0) outside += letter;
    }
    if (isText(outside) && !walker.currentNode.parentElement.closest(data)) found.push(outside);
  }
  for (const name of ["aria-label", "aria-description", "title", "placeholder", "alt"]) {
    for (const element of document.querySelectorAll(`.ccx [${name}]:not(${data})`)) {
      const text = element.getAttribute(name);
      if (isText(text) && !text.includes("⟦")) found.push(`${name}: ${text}`);
    }
  }
  return found;
})()
"""


# What is at the wrong side: the details are at the end of the page, buttons that close at the end of their
# box, names begin where lines begin, and time always runs to the right.
MISPLACED = r"""
(() => {
  const isRight = getComputedStyle(document.querySelector(".ccx")).direction === "rtl";
  const box = (it) => it.getBoundingClientRect();
  const isAt = (it, within, side) => Math.abs(it[side] - within[side]) <= 48;
  const [start, end] = isRight ? ["right", "left"] : ["left", "right"];
  const all = (selector) => [...document.querySelectorAll(`.ccx ${selector}`)]
    .filter((it) => it.checkVisibility({ visibilityProperty: true }));
  const textOf = (it) => { const range = new Range(); range.selectNodeContents(it); return box(range); };
  const wrong = [
    ...all(".sheet").filter((it) => box(it)[end] !== (isRight ? 0 : document.documentElement.clientWidth)),
    ...all(".sheet-close, .toast-close").filter((it) => !isAt(box(it), box(it.offsetParent), end)),
    ...all(".truncate[dir=auto]")
      .filter((it) => it.scrollWidth <= it.clientWidth && !isAt(textOf(it), box(it), start)),
  ];
  const days = all(".chart-axis span").map((it) => box(it).left);
  return wrong.map((it) => `at the wrong side: ${it.outerHTML.slice(0, 100)}`)
    .concat(days[0] > days[1] ? "time runs to the left" : []);
})()
"""


def test_the_pages_in_another_language(bundles: Path, visit: Visits, person: People) -> None:
    """No text is left in English, and the longer ones have room at 320 and at 1280 px, also from the right to
    the left."""
    bea = person("Bea Person", created_at=3 * DAY, public_metadata={"role": "editor"})
    cay = person("Cay Person", created_at=2 * DAY, banned=True)
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    visit_app(admin, "foreign", bundles)
    complaints = complaints_of(admin)
    page = admin.page
    found: dict[str, list[str]] = {}

    def look(state: str) -> None:
        for width in (320, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            settled(page)
            wrong = page.evaluate(UNTRANSLATED)
            for direction in ("rtl", "ltr"):
                page.evaluate("direction => { document.documentElement.dir = direction; }", direction)
                page.evaluate("new Promise(requestAnimationFrame)")  # what follows the window measures itself
                wide = page.evaluate("document.documentElement.scrollWidth")
                outside = page.evaluate(OUTSIDE) + ([f"{wide} px wide"] if wide > width else [])
                wrong += [f"{direction}: {it}" for it in [*outside, *page.evaluate(MISPLACED)]]
            if wrong:
                found[f"{state}, {width} px"] = wrong

    admin.open("/hosts/foreign/users")
    admin.expect_rows([bea, cay, str(admin.user_id)])
    assert page.evaluate("document.querySelector('.ccx').lang") == "de-AT"
    look("the list")
    page.get_by_role("button", name=re.compile("⟦Filter")).click()
    look("the filters")
    page.keyboard.press("Escape")
    for user_id in (bea, cay):
        admin.row(user_id).get_by_role("checkbox").click()
    look("the selection")
    admin.row(bea).get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_contain_text(bea)
    look("the details")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    admin.row(cay).get_by_role("button", name=re.compile("⟦Actions")).click()
    page.get_by_role("menuitem", name=re.compile("⟦Delete")).click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    look("a question")
    for path, heading in (("audit", "Audit"), ("invitations", "Invitations")):
        admin.open(f"/hosts/foreign/{path}")
        expect(page.get_by_role("heading", name=re.compile(f"⟦{heading}")).first).to_be_attached()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        look(path)
    assert found == {}, "\n".join(f"{state}: {it}" for state in found for it in found[state])
    assert complaints == []


# Cells and terms whose text is cut off. What may be long has an ellipsis, and is in full in its title.
CUT = """
[...document.querySelectorAll(".ccx :is(td, dt):not(.col-user, :has(.truncate), .visually-hidden *)")]
  .filter((it) => it.checkVisibility() && it.clientWidth > 1 && it.scrollWidth > it.clientWidth)
  .map((it) => it.textContent)
"""


def test_an_app_with_a_bar_at_the_side(bundles: Path, visit: Visits, person: People) -> None:
    """The layout follows the width that the app leaves to the page, not that of the window: nothing is cut
    off, and a narrow page has cards."""
    bea = person("Bea Person", created_at=3 * DAY, public_metadata={"role": "editor"})
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY), reduced_motion="reduce")
    admin.stack.clerk.update_user(bea, deprovisioned=True)
    visit_app(admin, "history", bundles)
    page = admin.page
    admin.open("/hosts/history/users")
    admin.expect_rows([bea, str(admin.user_id)])
    expect(admin.row(bea)).to_contain_text("Deprovisioned")
    page.add_style_tag(content="body { margin: 0 0 0 260px }")
    for width, display in ((1280, "table"), (1100, "table"), (1020, "table"), (900, "block"), (640, "block")):
        page.set_viewport_size({"width": width, "height": 800})
        settled(page)
        assert page.evaluate(CUT) == [], width
        assert page.evaluate(OUTSIDE) == [], width
        table = page.get_by_role("table", name="Users")
        assert table.evaluate("it => getComputedStyle(it).display") == display, width
        expect(page.get_by_role("combobox", name="Sort")).to_be_visible(visible=display == "block")
