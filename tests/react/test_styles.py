"""The stylesheet changes nothing in an app, and no app changes the page.

The apps are a page with Tailwind 4 and shadcn's tokens, whose rules are in layers, and one like Vite's
template, whose rules are for bare elements and in no layer. Both use names of classes that the page has too.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, ViewportSize, expect

from clerk_convex.local.convex.deployment import _node
from tests.support.functions import ROOT

if TYPE_CHECKING:
    from tests.support.browser import People, Visits

pytest_plugins = ["tests.support.browser"]

HOSTS = ROOT / "tests" / "react" / "hosts"
STYLES = ROOT / "react" / "dist" / "styles.css"
EDGE = 4
SIZE: ViewportSize = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def hosts(chromium: str) -> dict[str, tuple[str, str]]:
    """Return the stylesheet and the content of each app."""
    command = [str(_node()), str(HOSTS / "tailwind.ts"), str(HOSTS / "shadcn.html")]
    tailwind = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "@layer base" in tailwind
    return {
        "shadcn": (tailwind, (HOSTS / "shadcn.html").read_text()),
        "vite": ((HOSTS / "vite.css").read_text(), (HOSTS / "vite.html").read_text()),
    }


def document(*styles: str, body: str, theme: str) -> str:
    sheets = "".join(f"<style>{it}</style>" for it in styles)
    head = f'<!doctype html><html class="{theme}"><head>{sheets}</head>'
    return f'{head}<body><div id="root">{body}</div></body></html>'


@pytest.mark.parametrize("name", ["shadcn", "vite"])
def test_an_app_looks_the_same_with_and_without(
    name: str, hosts: dict[str, tuple[str, str]], browser: Browser
) -> None:
    """Pixel by pixel, in both themes, whichever stylesheet is first."""
    host, body = hosts[name]
    ours = STYLES.read_text()
    page = browser.new_page(viewport=SIZE)

    def picture(*styles: str, theme: str) -> bytes:
        page.set_content(document(*styles, body=body, theme=theme))
        return page.screenshot(full_page=True, animations="disabled", caret="initial")

    for theme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        picture(host, theme=theme)  # the first picture of a theme may be taken while colours change
        without = picture(host, theme=theme)
        assert without == picture(host, theme=theme)
        assert without == picture(ours, host, theme=theme)
        assert without == picture(host, ours, theme=theme)
    page.close()


def defaults() -> str:
    """Return rules that set every token to its default, because the apps have tokens of other colours."""
    tokens = (ROOT / "react" / "src" / "styles" / "tokens.css").read_text()
    found = re.findall(
        r"var\(--ccx-([a-z-]+), (?:var\(--[a-z-]+, (.*)\)|(.*))\);", tokens.split("&.is-hsl")[0]
    )
    assert len(found) > 30
    return ":root {" + "".join(f"--ccx-{name}: {one or other};" for name, one, other in found) + "}"


def difference(one: bytes, other: bytes) -> int:
    """Return by how much the colours of a pixel differ at most, of 255. The edge of a curve is rounded."""
    pictures = (Image.open(io.BytesIO(it)).convert("RGB") for it in (one, other))
    return max(high for _, high in ImageChops.difference(*pictures).getextrema())  # type: ignore[misc]


def open_dialogs(page: Page) -> None:
    for dialog in page.locator("dialog").all():
        dialog.evaluate("it => { it.removeAttribute('open'); it.showModal(); }")


def test_the_page_looks_the_same_in_every_app(
    hosts: dict[str, tuple[str, str]], browser: Browser, visit: Visits, person: People
) -> None:
    """The list and a form are the same, pixel by pixel, in both apps and alone, in any order."""
    admin = visit(person("Ada Adminson", role="admin"), viewport=SIZE, reduced_motion="reduce")
    person("Eve Example", banned=True)
    admin.stack.clerk.webhooks.drain(30)
    admin.open()
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(2)
    expect(admin.page.get_by_text("Live", exact=True)).to_be_visible()
    ours = STYLES.read_text()
    page = browser.new_page(viewport=SIZE, reduced_motion="reduce")

    def picture(*styles: str, markup: str, theme: str) -> bytes:
        body = f'<div style="position: absolute; inset: 0; min-width: 100%">{markup}</div>'
        page.set_content(document(*styles, defaults(), body=body, theme=theme))
        open_dialogs(page)
        page.mouse.move(640, 880)
        return page.screenshot(animations="disabled")

    for is_form in (False, True):
        if is_form:
            admin.page.get_by_role("button", name="New user", exact=True).click()
            expect(admin.page.get_by_role("dialog")).to_be_visible()
        markup = admin.page.locator(".ccx").evaluate("it => it.outerHTML")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            alone = picture(ours, "body { margin: 0 }", markup=markup, theme=theme)
            for host, _ in hosts.values():
                assert difference(picture(ours, host, markup=markup, theme=theme), alone) <= EDGE
                assert difference(picture(host, ours, markup=markup, theme=theme), alone) <= EDGE
    page.close()


# The colours of each element, and of its edge.
COLOURS = """
[...document.querySelectorAll(".ccx, .ccx *")].map((it) => {
  const { color, backgroundColor, borderTopColor } = getComputedStyle(it);
  return [it.tagName, color, backgroundColor, borderTopColor];
})
"""


def test_the_tokens_of_tailwind_3(visit: Visits, person: People) -> None:
    """shadcn's tokens for Tailwind 3 are numbers, such as "0 0% 100%". The page has the colours that
    they have in hsl(), in both themes, and the token that an app sets itself wins."""
    numbers = (HOSTS / "shadcn-3.css").read_text()
    colours = re.sub(r": ([\d.]+ [\d.]+% [\d.]+%);", r": hsl(\1);", numbers)
    colours = colours.replace("--radius", "--sidebar-accent: var(--accent); --radius")
    assert colours.count(": hsl(") == 26
    admin = visit(person("Ada Adminson", role="admin"), reduced_motion="reduce")
    found = []
    for sheet in (numbers, colours):
        admin.page.add_init_script(
            f"const sheet = new CSSStyleSheet(); sheet.replaceSync({json.dumps(sheet)});"
            "document.adoptedStyleSheets = [sheet];"
        )
        admin.open()
        expect(admin.page.get_by_text("Live", exact=True)).to_be_visible()
        expect(admin.row(str(admin.user_id))).to_be_visible()
        root = admin.page.locator(".ccx")
        for theme, background in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(2, 8, 23)")):
            admin.page.evaluate("theme => document.documentElement.className = theme", theme)
            expect(root).to_have_css("background-color", background)
            found.append(admin.page.evaluate(COLOURS))
        admin.page.evaluate("document.documentElement.style.setProperty('--ccx-canvas', 'red')")
        expect(root).to_have_css("background-color", "rgb(255, 0, 0)")
    assert found[:2] == found[2:]
    assert found[0] != found[1]


def test_the_nearest_theme_wins(browser: Browser) -> None:
    """A light part of a dark app is light, and a dark part of a light one is dark, by class or by attribute;
    the page's own element may have the theme too."""
    cases = ["light", "dark", "light dark", "dark light", "dark light dark"]

    def opened(theme: str, by: str, name: str = "") -> str:
        attribute = f'data-theme="{theme}"' if by == "data-theme" else ""
        return f'<div class="{name} {theme if by == "class" else ""}" {attribute}>'

    body = ""
    for case in cases:
        *around, own = case.split()
        for one, other in itertools.product(("class", "data-theme"), repeat=2):
            outer = "".join(opened(theme, one) for theme in around)
            for inner in (opened(own, other) + '<div class="ccx">', opened(own, other, "ccx")):
                body += f"<section>{outer}{inner}{'</div>' * (outer + inner).count('<div')}</section>"
    page = browser.new_page()
    page.set_content(document(STYLES.read_text(), body=body, theme=""))
    schemes = page.locator(".ccx").evaluate_all("all => all.map((it) => getComputedStyle(it).colorScheme)")
    assert schemes == [case.split()[-1] for case in cases for _ in range(8)]
    page.close()


def test_each_token_of_shadcn_has_its_hsl() -> None:
    """The tokens that default to one of shadcn's colours are those that Tailwind 3's form is known of."""
    usual, _, numbers = (ROOT / "react/src/styles/tokens.css").read_text().partition("&.is-hsl {")
    wanted = re.findall(r"(--_[a-z-]+): var\(--ccx-[a-z-]+, var\((--[a-z-]+), (?:light-dark|#)", usual)
    assert len(wanted) > 10
    assert wanted == re.findall(r"(--_[a-z-]+): var\(--ccx-[a-z-]+, hsl\(var\((--[a-z-]+)[,)]", numbers)
