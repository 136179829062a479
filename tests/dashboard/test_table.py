"""Search, filters, sorting, pages and the URL, with 2,000 users."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Locator, expect

from clerk_convex.local.demo.scenario import begin
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT, Functions

if TYPE_CHECKING:
    from tests.support.browser import Visit, Visits

pytest_plugins = ["tests.support.browser"]

USERS = 2_000
PAGE = 25  # rows of the first page
MORE = 50  # rows that come later at once
Row = dict[str, Any]


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(project=ROOT, connected=False) as stack:
        begin(stack, USERS, io.StringIO())
        yield stack


@pytest.fixture(scope="module")
def admin_id(stack: LocalStack) -> str:
    metadata = {"role": "admin"}
    made = stack.clerk.create_user(first_name="Ada", last_name="Adminson", public_metadata=metadata)
    return str(made["id"])


@pytest.fixture
def admin(visit: Visits, admin_id: str) -> Visit:
    return visit(admin_id)


def rows_in_order(stack: LocalStack, by: str = "createdAt", *, descending: bool = True) -> list[Row]:
    """Return all rows in the order of the page: missing values come first in ascending and last in descending
    order."""
    functions = Functions(stack.convex)
    with functions.http:
        rows = list(functions.rows().values())
    rows.sort(key=lambda row: (row.get(by) is not None, row.get(by)))
    return rows[::-1] if descending else rows


def ids(rows: Sequence[Row]) -> list[str]:
    return [row["clerkId"] for row in rows]


def search_box(visit: Visit) -> Locator:
    return visit.page.get_by_role("searchbox", name="Search users")


def filters(visit: Visit, name: str) -> Locator:
    """Return a button of the status filter. Its name ends with the number of its users."""
    return visit.page.get_by_role("group", name="Status").get_by_role("button", name=re.compile(f"^{name}"))


def header(visit: Visit, name: str) -> Locator:
    return visit.page.get_by_role("columnheader", name=name)


def query_of(visit: Visit) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(visit.page.url).query))


def test_newest_are_first(stack: LocalStack, admin: Visit) -> None:
    """The page has the first rows and the number of all users."""
    admin.open()
    admin.expect_rows(ids(rows_in_order(stack))[:PAGE])
    expect(admin.page.get_by_text(f"{PAGE} of {len(stack.clerk.users()):,}")).to_be_visible()


SORTS = {
    "Joined": ("createdAt", ["descending", "ascending"]),
    "Last sign-in": ("lastSignInAt", ["descending", "ascending"]),
    "Email": ("sortEmail", ["ascending", "descending"]),
    "Name": ("sortName", ["ascending", "descending"]),
}


@pytest.mark.parametrize("column", SORTS)
def test_columns_sort_both_ways(column: str, stack: LocalStack, admin: Visit) -> None:
    """Missing values come first in ascending and last in descending order. The header names the direction."""
    by, orders = SORTS[column]
    admin.open()
    admin.expect_rows(ids(rows_in_order(stack))[:PAGE])
    for number, order in enumerate(orders):
        if number > 0 or column != "Joined":  # by which it is sorted already
            header(admin, column).get_by_role("button").click()
        expect(header(admin, column)).to_have_attribute("aria-sort", order)
        expected = ids(rows_in_order(stack, by, descending=order == "descending"))
        admin.expect_rows(expected[:PAGE])
        admin.load_more()
        admin.expect_rows(expected[: PAGE + MORE], only=False)


def test_all_pages_have_each_user_once(stack: LocalStack, admin: Visit) -> None:
    """A filtered list that is loaded to its end has each user once, in order."""
    expected = ids(
        [row for row in rows_in_order(stack, "sortName", descending=False) if row["status"] == "banned"]
    )
    assert len(expected) > 2 * PAGE
    admin.open(status="banned", sort="name")
    admin.expect_rows(expected[:PAGE])
    admin.load_all()
    admin.expect_rows(expected)


def test_missing_values_are_at_the_end(stack: LocalStack, admin: Visit) -> None:
    """Users without an address come after all users with one, on the last page."""
    rows = [row for row in rows_in_order(stack, "sortEmail") if row["status"] == "locked"]
    assert "sortEmail" in rows[0]
    admin.open(status="locked", sort="email", order="desc")
    admin.expect_rows(ids(rows)[:PAGE])
    admin.load_all()
    admin.expect_rows(ids(rows))


def found(visit: Visit, text: str) -> list[str]:
    """Search, and return the rows that the page shows then."""
    visit.open(q=text)
    visit.page.get_by_text(re.compile(r"^\d+ match|No match|best matches")).wait_for()
    return visit.shown()


def test_search_finds(stack: LocalStack, admin: Visit) -> None:
    """Names in any case and with any letters, beginnings of addresses, and whole ids."""
    rows = rows_in_order(stack)
    lukasz = [row for row in rows if row.get("firstName") == "Łukasz" and row.get("lastName") == "Øster"]
    assert set(ids(lukasz)) <= set(found(admin, "łukasz øster"))
    assert found(admin, rows[1234]["clerkId"])[0] == rows[1234]["clerkId"]
    with_email = next(row for row in rows if row.get("email", "").startswith("user12@"))
    assert found(admin, "user12%40")[0] == with_email["clerkId"]
    assert found(admin, with_email["email"].upper().replace("@", "%40"))[0] == with_email["clerkId"]
    assert len(found(admin, "Ada")) == 50


@pytest.mark.parametrize("text", ["com", "ample.com", "zzzzz", ".*", "[^]+", "(", "\\", "^$", "%"])
def test_search_finds_no_user(text: str, admin: Visit) -> None:
    """The end of a common address, a part of a domain, an unknown text, and texts with a special meaning
    elsewhere."""
    admin.open()
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(PAGE)
    search_box(admin).fill(text)
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    assert admin.shown() == []
    admin.page.get_by_role("button", name="Clear filters").click()
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(PAGE)
    expect(search_box(admin)).to_have_value("")
    expect(search_box(admin)).to_be_focused()


def test_search_within_a_filter(stack: LocalStack, admin: Visit) -> None:
    """Only banned users are found."""
    admin.open(q="Ada", status="banned")
    admin.page.get_by_text(re.compile(r"^\d+ match")).wait_for()
    rows = {row["clerkId"]: row for row in rows_in_order(stack)}
    assert {rows[user_id]["status"] for user_id in admin.shown()} == {"banned"}
    assert "ada" in rows[admin.shown()[0]]["sortName"]


def test_many_are_counted_up_to_a_hundred(stack: LocalStack, admin: Visit) -> None:
    """Of a filter the counts of a status end there, and say that there are more."""
    members = [row for row in rows_in_order(stack) if row.get("role") == "member"]
    assert len(members) > 500
    admin.open(role="member")
    admin.expect_rows(ids(members)[:PAGE])
    expect(filters(admin, "Active")).to_have_accessible_name("Active at least 100")
    filters(admin, "Active").click()
    said = admin.page.get_by_role("search").get_by_role("status")
    expect(said).to_have_text("At least 100 users found")
    admin.expect_rows(ids([row for row in members if row["status"] == "active"])[:PAGE])


def test_back_and_forward(stack: LocalStack, admin: Visit) -> None:
    """Each choice is a step of the history, the dialog too. Typing adds no steps."""
    rows = rows_in_order(stack)
    banned = ids([row for row in rows if row["status"] == "banned"])
    by_name = ids(
        [row for row in rows_in_order(stack, "sortName", descending=False) if row["status"] == "banned"]
    )
    admin.open()
    admin.expect_rows(ids(rows)[:PAGE])
    filters(admin, "Banned").click()
    admin.expect_rows(banned[:PAGE])
    header(admin, "Name").get_by_role("button").click()
    admin.expect_rows(by_name[:PAGE])
    admin.row(by_name[0]).get_by_role("link").click()
    expect(admin.page.get_by_role("dialog")).to_be_visible()
    assert query_of(admin) == {"status": "banned", "sort": "name", "user": by_name[0]}
    admin.page.go_back()
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    admin.expect_rows(by_name[:PAGE])
    admin.page.go_back()
    admin.expect_rows(banned[:PAGE])
    expect(filters(admin, "Banned")).to_have_attribute("aria-pressed", "true")
    admin.page.go_back()
    admin.expect_rows(ids(rows)[:PAGE])
    admin.page.go_forward()
    admin.expect_rows(banned[:PAGE])
    admin.page.go_forward()
    admin.page.go_forward()
    expect(admin.page.get_by_role("dialog")).to_be_visible()


def test_typing_leaves_one_place_in_the_history(stack: LocalStack, admin: Visit) -> None:
    """A search is in the URL, and one step back leaves it."""
    admin.open("/dashboard/audit")
    admin.page.get_by_role("link", name="Users", exact=True).click()
    admin.expect_rows(ids(rows_in_order(stack))[:PAGE])
    search_box(admin).press_sequentially("zoë")
    expect(admin.page).to_have_url(re.compile(r"[?&]q=zo%C3%AB$"))
    admin.page.go_back()
    expect(admin.page).to_have_url(re.compile("/dashboard/audit$"))


# A router for which a new URL takes time, as that of Next.js: `arrive` lets the first of `late` come.
LATE_URL = """
() => {
  const { replaceState } = history;
  window.late = [];
  history.pushState = history.replaceState = (...state) => late.push(state);
  window.arrive = () => {
    replaceState.apply(history, late.shift());
    dispatchEvent(new PopStateEvent("popstate"));
  };
}
"""


def test_what_is_typed_stays_while_the_url_is_late(stack: LocalStack, admin: Visit) -> None:
    """An older search that arrives in the URL takes back neither a letter nor the empty box."""
    admin.open()
    admin.expect_rows(ids(rows_in_order(stack))[:PAGE])
    admin.page.evaluate(LATE_URL)
    box = search_box(admin)

    def expect_late(*searches: str) -> None:
        admin.page.wait_for_function(
            "wanted => JSON.stringify(late.map((it) => new URL(it[2], origin).searchParams.get('q')))"
            " === JSON.stringify(wanted)",
            arg=[search or None for search in searches],
        )

    box.fill("z")
    expect_late("z")
    box.fill("zo")
    expect_late("z", "zo")
    box.fill("zoë")
    admin.page.evaluate("arrive()")
    assert query_of(admin) == {"q": "z"}
    expect(box).to_have_value("zoë")
    expect_late("zo", "zoë")
    box.press("Escape")
    expect_late("zo", "zoë", "")
    admin.page.evaluate("arrive()")
    admin.page.evaluate("arrive()")
    expect(box).to_have_value("")
    admin.page.evaluate("arrive()")
    assert query_of(admin) == {}
    admin.expect_rows(ids(rows_in_order(stack))[:PAGE])


def test_two_changes_while_the_url_is_late(stack: LocalStack, admin: Visit) -> None:
    """The second one does not take back the first."""
    admin.open()
    admin.expect_rows(ids(rows_in_order(stack))[:PAGE])
    admin.page.evaluate(LATE_URL)
    admin.page.get_by_role("group", name="Status").get_by_role("button", name="Banned").click()
    header(admin, "Name").get_by_role("button").click()
    for _ in range(2):
        admin.page.evaluate("arrive()")
    assert query_of(admin) == {"status": "banned", "sort": "name"}


def test_deep_link(stack: LocalStack, admin: Visit) -> None:
    """A link restores the whole state for any admin who opens it, the dialog too. A reload keeps it."""
    rows = [row for row in rows_in_order(stack, "sortName") if row["status"] == "locked"]
    admin.open(status="locked", sort="name", order="desc", user=rows[3]["clerkId"])
    for is_again in (False, True):
        if is_again:
            admin.page.reload()
        admin.expect_rows(ids(rows)[:PAGE])
        expect(admin.page.get_by_role("dialog")).to_contain_text(rows[3]["clerkId"])
    admin.page.keyboard.press("Escape")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    assert query_of(admin) == {"status": "locked", "sort": "name", "order": "desc"}


@pytest.mark.parametrize(
    "query",
    [
        "status=nobody&sort=password&order=sideways&page=7",
        "status=banned%00&sort=__proto__&sort=name",
        "q=&status=&sort=&order=",
        "order=asc",
        "%F0%9F=%zz&&&=&q=%20%20",
        "verified=maybe&joined=yesterday&signin=2024-02-30..&joined=never",
    ],
)
def test_garbage_in_the_url_is_ignored(query: str, stack: LocalStack, admin: Visit) -> None:
    """The list is shown as without the garbage."""
    admin.page.goto(f"{stack.dashboard_url}?{query}")
    admin.expect_rows(ids(rows_in_order(stack))[:PAGE])


def test_unknown_id(admin: Visit) -> None:
    """A link to a user who does not exist says so, and the list is behind the dialog."""
    admin.open(user="user_%3Cscript%3E..%2F..")
    expect(admin.page.get_by_role("dialog")).to_contain_text(
        re.compile("no user|not found|nobody", re.IGNORECASE)
    )
    admin.page.keyboard.press("Escape")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(PAGE)


def test_unknown_path_leads_to_the_users(stack: LocalStack, admin: Visit) -> None:
    """So does the root."""
    for path in ("/", "/dashboard/", "/dashboard/nowhere/at/all"):
        admin.page.goto(stack.url + path)
        expect(admin.page).to_have_url(str(stack.dashboard_url))
        expect(admin.page.locator("[data-clerk-id]")).to_have_count(PAGE)
