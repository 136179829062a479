"""Fixtures for tests of the dashboard in Chromium, with users signed in at a local set.

This is a pytest plugin for test modules that name it in `pytest_plugins`. All share one local set, and the
tests of a module share one browser. An error on a page's console or a request to another host fails the test
at its end, unless the test expects it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Response,
    WebSocket,
    WebSocketRoute,
    expect,
    sync_playwright,
)

from clerk_convex.local import dashboard
from clerk_convex.local.clerk.pages import ACCOUNTS
from clerk_convex.local.stack import LocalStack
from clerk_convex.testing import LocalSet
from tests.support.functions import Caller

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# The ids of the rows of the list, in order: all, or the first `enough` and some more. A long list is scrolled
# from row to row, because the document has only the rows near the window.
LISTED = """
async (enough) => {
  const found = new Map();
  const read = () => {
    for (const row of document.querySelectorAll("[data-clerk-id]")) {
      found.set(Number(row.getAttribute("aria-rowindex") ?? found.size), row.dataset.clerkId);
    }
  };
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const settled = async () => { // a few rows come with each frame
    let before;
    do {
      before = found.size;
      await frame();
      await frame();
      read();
    } while (found.size > before);
  };
  read();
  if (document.querySelector(".gap") !== null) {
    for (let top = 0; top < document.body.scrollHeight && found.size < enough; top += innerHeight / 2) {
      scrollTo(0, top);
      await settled();
    }
    scrollTo(0, 0);
    await settled();
  }
  return [...found].sort(([one], [other]) => one - other).map(([, id]) => id);
}
"""
MANY = 1_000_000  # more rows than any list has
PATIENCE = 60_000  # milliseconds; a machine may be busy
TEXTS = ("html", "json", "javascript", "css", "text")


class Visit:
    """A user's browser with one page."""

    page: Page
    frames: list[str]
    """The messages that arrived over websockets, in order."""

    def __init__(self, context: BrowserContext, stack: LocalStack, user_id: str | None) -> None:
        self.context = context
        self.stack = stack
        self.user_id = user_id
        self.frames = []
        self._responses: list[Response] = []
        self._bodies: list[str] = []
        self._complaints: list[str] = []
        self._expected: list[str] = []
        places = (stack.url, stack.clerk.url, stack.convex.url)
        self._hosts = {urlsplit(place).netloc for place in places}
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: self._asks(request.url))
        context.on("response", lambda answer: self._responses.append(answer))
        context.on("weberror", lambda error: self._complaints.append(str(error.error)))
        context.on(
            "console", lambda said: self._complaints.append(said.text) if said.type == "error" else None
        )
        self.page = context.new_page()
        self.page.on("websocket", self._listen)

    def open(self, path: str = "/dashboard/users", **query: str) -> None:
        """Open a page of the service. Wait for the document, not for its data."""
        self._read()
        question = "&".join(f"{name}={value}" for name, value in query.items())
        self.page.goto(f"{self.stack.url}{path}{'?' if question else ''}{question}")

    def allow(self, url: str) -> None:
        """Let the page ask this host too."""
        self._hosts.add(urlsplit(url).netloc)

    def row(self, user_id: str) -> Locator:
        return self.page.locator(f'[data-clerk-id="{user_id}"]')

    def shown(self) -> list[str]:
        """Return the ids of the users on the page, in order."""
        ids = "rows => rows.map(row => row.dataset.clerkId)"
        return self.page.locator("[data-clerk-id]").evaluate_all(ids)  # type: ignore[no-any-return]

    def expect_rows(self, user_ids: Sequence[str], *, only: bool = True) -> None:
        """Wait until the page shows these users in this order; not `only`: first, with any after them.

        To see the rows of a long list it scrolls, which loads more.
        """
        wanted = list(user_ids)
        enough = MANY if only else len(wanted)
        # wait_for_function takes the promise of an async function for true.
        end = time.monotonic() + PATIENCE / 1000
        while True:
            shown = self.page.evaluate(LISTED, enough)
            if (shown if only else shown[: len(wanted)]) == wanted:
                return
            assert time.monotonic() < end, f"{shown} instead of {wanted}"
            self.page.wait_for_timeout(20)

    def load_more(self) -> None:
        """Press "Load more" without going there, which would load by itself, and wait for the rows."""
        count = self.page.locator(".load-more .muted")
        before = count.text_content() or ""
        self.page.get_by_role("button", name="Load more").evaluate("button => button.click()")
        expect(count).not_to_have_text(before)

    def load_all(self) -> None:
        """Load the list to its end, and go back to its top."""
        self.page.wait_for_function(
            "() => { const isAll = document.querySelector('.load-more button') === null;"
            " scrollTo(0, isAll ? 0 : document.body.scrollHeight); return isAll; }"
        )

    def ask(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """Return all rows of a paginated query of the users module, called as this browser's user."""
        clerk = self.stack.clerk
        (session, *_) = clerk.sessions(user_id=self.user_id, status="active")
        caller = Caller(self.stack.convex, clerk.session_token(session["id"]))
        pages = caller.pages(f"users:{query}", 100, **arguments)
        return [row for page in pages for row in page]

    def intercept(self, change: Callable[[dict[str, Any], Callable[[], None]], None]) -> None:
        """Pass Convex's messages to `change`, with a function that forwards one, from the next page on."""

        def connect(socket: WebSocketRoute) -> None:
            server = socket.connect_to_server()

            def pass_on(text: str | bytes) -> None:
                message = json.loads(text)
                change(message, lambda: socket.send(json.dumps(message)))

            server.on_message(pass_on)

        self.page.route_web_socket(re.compile("^ws://"), connect)

    def received(self) -> str:
        """Return all text that the browser has received, by websocket and by HTTP."""
        self._read()
        return "\n".join([*self.frames, *self._bodies])

    def expect_complaints(self, *patterns: str) -> None:
        """Allow console errors that match one of these patterns. Each pattern must match an error."""
        self._expected += patterns

    def check(self) -> None:
        """Fail on an error that was not expected, or an expected one that is missing."""
        expected = [re.compile(pattern) for pattern in self._expected]
        unexpected = [it for it in self._complaints if not any(each.search(it) for each in expected)]
        assert not unexpected, "\n".join(unexpected)
        missing = [it.pattern for it in expected if not any(it.search(said) for said in self._complaints)]
        assert not missing, f"{missing} in none of {self._complaints}"

    def _read(self) -> None:
        # A response cannot be read any more when the page has loaded another document.
        for answer in self._responses:
            if answer.ok and any(kind in answer.headers.get("content-type", "") for kind in TEXTS):
                self._bodies.append(answer.text())
        self._responses.clear()

    def _asks(self, url: str) -> None:
        place = urlsplit(url)
        if place.scheme not in ("data", "blob") and place.netloc not in self._hosts:
            self._complaints.append(f"A request to another host: {url}")

    def _listen(self, socket: WebSocket) -> None:
        self._asks(socket.url)
        socket.on("framereceived", lambda payload: self.frames.append(str(payload)))


class Visits:
    """Make visits to one local set, and check each at the end."""

    def __init__(self, browser: Browser, stack: LocalStack) -> None:
        self._browser = browser
        self._stack = stack
        self._open: list[Visit] = []

    def __call__(self, user_id: str | None = None, **options: Any) -> Visit:
        """Return a browser in which the user is signed in, or nobody. `options` go to the browser context."""
        wanted = {
            "locale": "en-US",
            "timezone_id": "UTC",
            "viewport": {"width": 1280, "height": 800},
            **options,
        }
        context = self._browser.new_context(**wanted)
        visit = Visit(context, self._stack, user_id)
        self._open.append(visit)
        if user_id is not None:
            sign_in(context, self._stack, user_id)
        return visit

    def close(self) -> None:
        for visit in self._open:
            visit.context.close()
        for visit in self._open:
            visit.check()
        self._open = []


def sign_in(context: BrowserContext, stack: LocalStack, user_id: str) -> None:
    """Sign a user in on Clerk's page.

    The page offers only the two ACCOUNTS, and no banned or locked user. So the user becomes the admin account
    for the sign-in, and gets the old fields back afterwards.
    """
    clerk = stack.clerk
    user = clerk.get_user(user_id)
    before = {name: user[name] for name in ("external_id", "banned", "locked")}
    clerk.update_user(user_id, external_id=ACCOUNTS["admin"]["external_id"], banned=False, locked=False)
    form: dict[str, str | float | bool] = {"account": "admin", "redirect_url": str(stack.dashboard_url)}
    headers = {"Origin": clerk.url}
    answer = context.request.post(f"{clerk.url}/sign-in", form=form, headers=headers, max_redirects=0)
    assert answer.status == 303, answer.text()
    clerk.update_user(user_id, **before)
    if before["banned"]:
        # The ban has revoked the session. The Backend API makes another for a banned user.
        clerk.sign_in(user_id, client_id=clerk.sessions(user_id=user_id)[0]["client_id"])
    clerk.webhooks.drain(30)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of Chromium. Skip the test without it, except in CI."""
    # The shell has no windows, and opens a page for half of the processor time.
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None and not os.environ.get("CI"):
        pytest.skip("needs chromium: apt-get install chromium-headless-shell")
    assert path, "There is no chromium, and CI skips nothing: apt-get install chromium-headless-shell"
    built = (dashboard.STATIC / "index.html").is_file()
    assert built, "The dashboard has not been built: npm run build"
    return path


@pytest.fixture(scope="module")  # Playwright allows one event loop at a time
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def stack(clerk_convex: LocalSet) -> LocalStack:
    """Return the shared local set without users, in Clerk and in Convex."""
    return clerk_convex


class People:
    """Create users at the local Clerk, each newer than the one before."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._newest = 0

    def __call__(self, name: str, *, role: str | None = None, **fields: Any) -> str:
        """Create a user of this name, with an address made of it. Return the user's id."""
        first, _, last = name.partition(" ")
        address = f"{name.lower().replace(' ', '.')}@example.com"
        usual = {"first_name": first, "last_name": last, "email_address": [address]}
        self._newest = max(self._newest + 1, int(time.time() * 1000))
        more = {"created_at": self._newest, "public_metadata": {} if role is None else {"role": role}}
        made = self._stack.clerk.create_user(**{**usual, **more, **fields})
        return str(made["id"])


@pytest.fixture
def person(stack: LocalStack) -> People:
    return People(stack)


@pytest.fixture
def visit(browser: Browser, stack: LocalStack) -> Iterator[Visits]:
    visits = Visits(browser, stack)
    yield visits
    visits.close()
