"""All users that match a search or a filter, loaded or not: selecting and exporting them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Download, Locator, expect

from clerk_convex.local.stack import LocalStack
from tests.dashboard.test_accessibility import SMALL, WIDE, check_looks

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

DAY = 86_400_000
FIRST = 1_704_067_200_000  # 2024-01-01
EDITORS = 60


@pytest.fixture
def editors(person: People) -> list[str]:
    """Sixty editors, the newest first, of whom the page loads 25 at first."""
    return [
        person(f"Editor Number{number:02}", role="editor", created_at=FIRST + (EDITORS - number) * DAY)
        for number in range(EDITORS)
    ]


@pytest.fixture
def admin(stack: LocalStack, visit: Visits, person: People, editors: list[str]) -> Visit:
    """The page of Ada, an admin. One user is no editor."""
    person("Bea Person", role="member", created_at=FIRST + DAY * 90)
    admin = visit(person("Ada Adminson", role="admin", created_at=FIRST), reduced_motion="reduce")
    stack.clerk.webhooks.drain(30)
    return admin


def bar(admin: Visit) -> Locator:
    return admin.page.get_by_role("region", name="Selection")


def told(admin: Visit, text: str) -> Locator:
    return admin.page.get_by_role("status").filter(has_text=text)


def select_all_shown(admin: Visit) -> None:
    admin.page.get_by_role("checkbox", name="Select all that are shown").click()


def test_all_that_match_are_acted_on(stack: LocalStack, admin: Visit, editors: list[str]) -> None:
    """Those that are not loaded too, in requests of 50, with the number in the dialog; and nobody else."""
    admin.open(role="editor")
    admin.expect_rows(editors[:25])
    select_all_shown(admin)
    expect(bar(admin).get_by_role("status")).to_have_text("25 selected")
    check_looks(admin.page, SMALL, WIDE)
    bar(admin).get_by_role("button", name=f"Select all {EDITORS} that match").click()
    expect(bar(admin).get_by_role("status")).to_have_text(f"{EDITORS} selected")
    expect(bar(admin).get_by_role("button", name="that match")).to_have_count(0)
    admin.row(editors[1]).get_by_role("checkbox").click()  # one of them not
    expect(bar(admin).get_by_role("status")).to_have_text(f"{EDITORS - 1} selected")

    requests: list[int] = []

    def count(route: Any) -> None:
        requests.append(len(route.request.post_data_json["user_ids"]))
        route.continue_()

    admin.page.route(re.compile("/api/users/bulk"), count)
    bar(admin).get_by_role("button", name="Ban", exact=True).click()
    dialog = admin.page.get_by_role("alertdialog", name=f"Ban {EDITORS - 1} users?")
    expect(dialog.get_by_text(f"and {EDITORS - 6} more")).to_be_visible()
    dialog.get_by_role("button", name=f"Ban {EDITORS - 1} users").click()
    expect(told(admin, f"{EDITORS - 1} users were banned.")).to_be_visible()
    assert requests == [50, EDITORS - 51]
    banned = {user["id"] for user in stack.clerk.users() if user["banned"]}
    assert banned == {*editors} - {editors[1]}
    expect(bar(admin)).to_be_hidden()


def test_all_matches_of_a_search(admin: Visit, editors: list[str]) -> None:
    """Also those that the list of the best matches leaves out are selected and exported."""
    admin.open(q="editor")
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(50)
    select_all_shown(admin)
    bar(admin).get_by_role("button", name="Select all that match").click()
    expect(bar(admin).get_by_role("status")).to_have_text(f"{EDITORS} selected")
    assert {row["clerkId"] for row in export(admin)} == {*editors}


def test_another_view_ends_the_selection(admin: Visit, editors: list[str]) -> None:
    """Of what was selected beyond the rows only what the new view shows stays."""
    admin.open(role="editor")
    admin.expect_rows(editors[:25])
    select_all_shown(admin)
    bar(admin).get_by_role("button", name="that match").click()
    expect(bar(admin).get_by_role("status")).to_have_text(f"{EDITORS} selected")
    admin.page.get_by_role("searchbox").fill("number07")
    admin.expect_rows([editors[7]])
    expect(bar(admin).get_by_role("status")).to_have_text("1 selected")
    admin.page.get_by_role("searchbox").fill("")
    admin.expect_rows(editors[:25])
    expect(bar(admin).get_by_role("status")).to_have_text("1 selected")


def is_walk(message: dict[str, Any]) -> bool:
    """Return whether Convex answers with a page of a hundred."""
    values = [change.get("value") for change in message.get("modifications", [])]
    return any(isinstance(value, dict) and len(value.get("page", [])) > 50 for value in values)


class Walks:
    """Holds Convex's pages of a hundred back, from the next page of the browser on, or makes them fail."""

    def __init__(self, admin: Visit) -> None:
        self.fail = False
        self._page = admin.page
        self._held: list[Callable[[], None]] = []
        admin.intercept(self._treat)

    def wait(self) -> None:
        """Wait until one is held back."""
        while not self._held:
            self._page.evaluate("new Promise(requestAnimationFrame)")

    def send(self) -> None:
        """Send the one that is held back."""
        self._held.pop()()

    def _treat(self, message: dict[str, Any], send: Callable[[], None]) -> None:
        if is_walk(message) and not self.fail:
            self._held.append(send)
            return
        if is_walk(message):
            for change in message["modifications"]:
                change |= {"type": "QueryFailed", "errorMessage": "Server Error", "logLines": []}
                del change["value"]
        send()


def test_reading_can_be_cancelled_and_can_fail(admin: Visit, editors: list[str]) -> None:
    """The selection of the rows stays as it was."""
    walks = Walks(admin)
    admin.open(role="editor")
    admin.expect_rows(editors[:25])
    select_all_shown(admin)
    all_of_them = bar(admin).get_by_role("button", name="that match")
    all_of_them.click()
    expect(bar(admin).get_by_role("status")).to_have_text("Reading the users that match…")
    expect(bar(admin).get_by_role("button", name="Ban", exact=True)).to_be_disabled()
    bar(admin).get_by_role("button", name="Cancel").click()
    expect(bar(admin).get_by_role("status")).to_have_text("25 selected")
    walks.wait()
    walks.send()
    walks.fail = True
    admin.page.reload()
    admin.expect_rows(editors[:25])
    select_all_shown(admin)
    all_of_them.click()
    expect(bar(admin).get_by_role("status")).to_have_text(
        "25 selected Not all that match could be read: Server Error"
    )
    expect(all_of_them).to_be_visible()


def rows_of(download: Download) -> list[dict[str, str]]:
    text = download.path().read_bytes().decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


def export(admin: Visit) -> list[dict[str, str]]:
    with admin.page.expect_download() as download:
        admin.page.get_by_role("button", name="Export as CSV").click()
    assert re.fullmatch(r"users-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
    return rows_of(download.value)


def test_what_is_filtered_is_exported(
    stack: LocalStack, admin: Visit, editors: list[str], person: People
) -> None:
    """Every user that matches, and no other. No cell is a formula."""
    odd = person(
        "=1+1 Name",
        role='edi,"tor"',
        created_at=FIRST + DAY * 200,
        email_address=["odd@example.com"],
        username="x",
        last_sign_in_at=FIRST + DAY * 201,
    )
    stack.clerk.webhooks.drain(30)
    admin.open(role="editor", sort="name")
    admin.expect_rows(editors[:25])
    rows = export(admin)
    assert [row["clerkId"] for row in rows] == editors
    assert rows[0]["firstName"] == "Editor"
    assert rows[0]["createdAt"] == "2024-03-01T00:00:00.000Z"
    expect(told(admin, f"{EDITORS} users written to users-")).to_be_visible()
    check_looks(admin.page, SMALL, WIDE)
    admin.page.get_by_role("button", name="Dismiss").click()
    expect(told(admin, "written to")).to_have_count(0)

    admin.open(q="odd%40example.com")
    admin.expect_rows([odd])
    (row,) = export(admin)
    assert (row["firstName"], row["lastName"], row["role"]) == ("'=1+1", "Name", 'edi,"tor"')
    assert row["lastSignInAt"] == "2024-07-20T00:00:00.000Z"
    admin.open(q="nobodyhasthis")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    assert export(admin) == []


def test_an_export_can_be_cancelled_and_retried(admin: Visit, editors: list[str]) -> None:
    """A file is made only of all that match."""
    walks = Walks(admin)
    walks.fail = True
    admin.open(role="editor")
    admin.expect_rows(editors[:25])
    downloads: list[Download] = []
    admin.page.on("download", lambda download: downloads.append(download))
    admin.page.get_by_role("button", name="Export as CSV").click()
    expect(admin.page.get_by_role("alert")).to_have_text("The file could not be made. Server Error")
    walks.fail = False
    admin.page.get_by_role("button", name="Retry").click()
    expect(told(admin, "Reading the users…")).to_be_visible()
    expect(admin.page.get_by_role("progressbar", name="Export as CSV")).to_be_visible()
    walks.wait()
    admin.page.get_by_role("button", name="Cancel").click()
    expect(admin.page.get_by_role("progressbar")).to_have_count(0)
    walks.send()
    admin.page.evaluate("new Promise(done => setTimeout(done, 50))")
    assert downloads == []
