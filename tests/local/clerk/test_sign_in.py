"""The sign-in page in a browser: its security policy and its accessibility."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from clerk_convex.local.clerk import LocalClerk
from tests.support.functions import ROOT

pytest_plugins = ["tests.support.browser"]

AXE = (ROOT / "node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture
def clerk() -> Iterator[LocalClerk]:
    with LocalClerk() as clerk:
        yield clerk


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    """The address of an app: an empty page."""
    (tmp_path / "index.html").write_text('<!doctype html><link rel="icon" href="data:,"><title>App</title>')

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()
        thread.join()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor. An error on a page's console fails the test."""
    complaints: list[str] = []
    with browser.new_context() as context:
        context.on("console", lambda said: complaints.append(said.text))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield context
    assert complaints == []


def violations(page: Page) -> list[str]:
    """Return the findings of axe by rule."""
    page.evaluate(AXE)
    found: list[str] = page.evaluate("async () => (await axe.run()).violations.map(it => it.id)")
    return found


def test_signing_in_by_keyboard_leads_back(clerk: LocalClerk, context: BrowserContext, app: str) -> None:
    """To another port, where the app gets tokens with a cookie that it cannot read, until it signs out."""
    page = context.new_page()
    page.goto(f"{clerk.url}/sign-in?redirect_url={app}")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Otto Ordinary")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(app)
    assert page.evaluate("document.cookie") == ""
    call = """async ([url, method]) =>
        await (await fetch(url, {method, credentials: "include"})).json()"""
    client = page.evaluate(call, [f"{clerk.url}/v1/client", "GET"])["response"]
    (session,) = client["sessions"]
    assert session["user"]["first_name"] == "Otto"
    path = f"{clerk.url}/v1/client/sessions/{session['id']}"
    assert page.evaluate(call, [f"{path}/tokens", "POST"])["jwt"].count(".") == 2
    assert page.evaluate(call, [f"{path}/remove", "POST"])["response"]["status"] == "removed"
    assert page.evaluate(call, [f"{clerk.url}/v1/client", "GET"])["response"]["sessions"] == []


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(clerk: LocalClerk, browser: Browser, scheme: str, width: int) -> None:
    """axe finds nothing, in light and dark, wide and narrow, also with a banned user. Nothing is cut off."""
    with browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 640}
    ) as context:
        page = context.new_page()
        page.goto(f"{clerk.url}/sign-in?redirect_url=http://127.0.0.1:5173/users")
        assert violations(page) == []
        clerk.ban(clerk.users()[-1]["id"])
        page.reload()
        expect(page.get_by_role("button", disabled=True)).to_contain_text("is banned and cannot sign in.")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(246, 245, 242)") is (scheme == "light")
        page.goto(f"{clerk.url}/sign-in?redirect_url=http://evil.example/")
        assert violations(page) == []
