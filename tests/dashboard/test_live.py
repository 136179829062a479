"""A change at Clerk appears on the open page a moment later, and React renders only the changed row."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from benchmarks import scrolling
from benchmarks.dashboard import Run, report
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

DAY = 86_400_000

# React reports each commit to developer tools. A fiber did work in it if it is new, or has the flag
# PerformedWork; fibers below one that kept its children were not rendered. `renders` counts the work in each
# user's row; `flashes` has the users whose row began an animation.
WATCH = """
(() => {
  const PERFORMED_WORK = 1;
  window.renders = {};
  const userOf = (fiber) => {
    while (typeof fiber.type !== "string" && fiber.child && !fiber.child.sibling) fiber = fiber.child;
    return fiber.memoizedProps?.["data-clerk-id"];
  };
  const visit = (fiber, user) => {
    const before = fiber.alternate;
    const isComponent = fiber.type !== null && typeof fiber.type !== "string";
    user ??= userOf(fiber);
    if (user && isComponent && (before === null || fiber.flags & PERFORMED_WORK)) {
      window.renders[user] = (window.renders[user] ?? 0) + 1;
    }
    if (before !== null && before.child === fiber.child) return;
    for (let child = fiber.child; child; child = child.sibling) visit(child, user);
  };
  window.__REACT_DEVTOOLS_GLOBAL_HOOK__ = {
    supportsFiber: true,
    inject: () => 1,
    onCommitFiberRoot: (_, root) => visit(root.current),
    onCommitFiberUnmount: () => {},
  };
  window.flashes = new Set();
  addEventListener("animationstart", ({ target }) => {
    const row = target.closest?.("[data-clerk-id]");
    if (row) window.flashes.add(row.dataset.clerkId);
  });
})();
"""


def watch(visit: Visit) -> None:
    """Start the counts. It must be called before the page is opened."""
    visit.page.add_init_script(WATCH)


def begin(visit: Visit) -> None:
    """Count from now on. If the page is reloaded, the counts are lost."""
    visit.page.evaluate("window.renders = {}; window.flashes.clear(); window.isTheSame = true")


def renders(visit: Visit) -> dict[str, int]:
    assert visit.page.evaluate("window.isTheSame"), "The page was loaded anew."
    return visit.page.evaluate("window.renders")  # type: ignore[no-any-return]


@pytest.fixture
def crowd(person: People) -> list[str]:
    """Users with old sign-ups, the oldest first."""
    return [person(f"Person {chr(65 + number)}", created_at=(number + 1) * DAY) for number in range(20)]


@pytest.fixture
def admin(visit: Visits, person: People, crowd: list[str]) -> Visit:
    """An admin's page that shows all of these users."""
    admin = visit(person("Ada Adminson", role="admin", created_at=DAY // 2))
    watch(admin)
    admin.open()
    for user_id in crowd:
        expect(admin.row(user_id)).to_be_visible()
    expect(admin.page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    return admin


CHANGES: dict[str, tuple[Callable[[LocalClerk, str], Any], str]] = {
    "renamed": (lambda clerk, user: clerk.update_user(user, first_name="Renata"), "Renata"),
    "banned": (LocalClerk.ban, "Banned"),
    "locked": (LocalClerk.lock, "Locked"),
    "deprovisioned": (LocalClerk.deprovision, "Deprovisioned"),
    "given a role": (
        lambda clerk, user: clerk.update_metadata(user, public_metadata={"role": "editor"}),
        "editor",
    ),
    "signed in": (LocalClerk.sign_in, "now"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_the_row_that_changed_is_rendered(
    change: str, stack: LocalStack, admin: Visit, crowd: list[str]
) -> None:
    """The row has the change and flashes, no other row is rendered, and the page is not reloaded."""
    make, text = CHANGES[change]
    begin(admin)
    make(stack.clerk, crowd[7])
    expect(admin.row(crowd[7])).to_contain_text(text)
    admin.page.wait_for_function("() => window.flashes.size > 0")
    assert list(renders(admin)) == [crowd[7]]
    assert admin.page.evaluate("[...window.flashes]") == [crowd[7]]


def test_unbanned_again(stack: LocalStack, admin: Visit, crowd: list[str]) -> None:
    """A ban and an unban both flash."""
    for change, text in ((LocalClerk.ban, "Banned"), (LocalClerk.unban, "Active")):
        begin(admin)
        change(stack.clerk, crowd[0])
        expect(admin.row(crowd[0])).to_contain_text(text)
        admin.page.wait_for_function("id => window.flashes.has(id)", arg=crowd[0])
        assert list(renders(admin)) == [crowd[0]]


def test_new_user_is_on_top(admin: Visit, person: People, crowd: list[str]) -> None:
    """The newest user is first. The rows of all others stay as they are."""
    before = admin.shown()
    begin(admin)
    newcomer = person("Nova Newcomer")
    expect(admin.row(newcomer)).to_be_visible()
    assert admin.shown() == [newcomer, *before]
    assert list(renders(admin)) == [newcomer]


def test_deleted_user_is_gone(stack: LocalStack, admin: Visit, crowd: list[str]) -> None:
    """The row disappears, and no other row is rendered."""
    begin(admin)
    stack.clerk.delete_user(crowd[3])
    expect(admin.row(crowd[3])).to_have_count(0)
    assert admin.shown() == [
        *(user_id for user_id in reversed(crowd) if user_id != crowd[3]),
        admin.shown()[-1],
    ]
    assert renders(admin) == {}


def test_totals_and_chart_follow(stack: LocalStack, admin: Visit, person: People, crowd: list[str]) -> None:
    """A sign-up, a ban and a deletion change the totals in the same moment, and a sign-up also the chart of
    today."""
    totals = admin.page.get_by_role("region", name="Totals")
    expect(totals).to_contain_text(re.compile(r"Users\s*21\s*Active\s*21\s*Banned\s*0"))
    expect(totals.get_by_role("img", name="0 in all")).to_be_visible()
    newcomer = person("Nova Newcomer")
    expect(totals).to_contain_text(re.compile(r"Users\s*22\s*Active\s*22"))
    expect(totals.get_by_role("img", name="1 in all, at most 1 a day")).to_be_visible()
    stack.clerk.ban(newcomer)
    expect(totals).to_contain_text(re.compile(r"Users\s*22\s*Active\s*21\s*Banned\s*1"))
    stack.clerk.unban(newcomer)
    stack.clerk.deprovision(newcomer)
    counts = r"Users\s*22\s*Active\s*21\s*Banned\s*0\s*Deprovisioned\s*1\s*Locked\s*0"
    expect(totals).to_contain_text(re.compile(counts))
    stack.clerk.delete_user(newcomer)
    expect(totals).to_contain_text(re.compile(r"Users\s*21\s*Active\s*21\s*Banned\s*0"))
    expect(totals.get_by_role("img", name="0 in all")).to_be_visible()


def test_open_dialog_follows(stack: LocalStack, admin: Visit, crowd: list[str]) -> None:
    """The details are live too. If the user is deleted, the dialog says so."""
    admin.row(crowd[2]).get_by_role("link").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Person C")
    stack.clerk.update_user(crowd[2], first_name="Carola")
    expect(dialog).to_contain_text("Carola C")
    stack.clerk.update_metadata(crowd[2], public_metadata={"plan": "gold"})
    expect(dialog).to_contain_text("gold")
    stack.clerk.delete_user(crowd[2])
    expect(dialog.get_by_role("heading", name="Carola C was deleted")).to_be_visible()
    expect(dialog).not_to_contain_text("gold")


def test_benchmark_measures_what_it_says(chromium: str) -> None:
    """It prints its figures at the end: the milliseconds until the row has changed, and the number of
    changes."""
    command = [sys.executable, "-m", "benchmarks.dashboard", "--json", "--users=30", "--changes=3"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=True)
    run = Run(**json.loads(ended.stdout))
    assert (run.users, run.changes) == (30, 3)
    assert 0 < run.median <= run.p95 <= run.worst
    assert f"median {run.median:.1f} ms" in report(run)


def test_benchmark_of_scrolling_measures_what_it_says(chromium: str) -> None:
    """The list is scrolled, users change meanwhile, and the document does not grow with the list."""
    command = [sys.executable, "-m", "benchmarks.scrolling", "--json", "--users=150", "--seconds=1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=True)
    run = scrolling.Run(**json.loads(ended.stdout))
    assert run.users == 150
    assert run.seconds >= 1
    assert run.changes >= scrolling.LEAST_CHANGES
    assert 26 < run.scrolled <= 152  # the head, and more rows than the first page has
    assert 25 <= run.most_rows < 150
    assert run.over_50 >= run.over_100
    assert f"{run.over_100} over 100 ms" in scrolling.report(run)


def test_nameless_user_is_shown_once(stack: LocalStack, admin: Visit) -> None:
    """An address that stands for the name is not repeated below it. A name that arrives takes its place."""
    solo = stack.clerk.create_user(email_address=["solo@example.com"])["id"]
    admin.open()
    row = admin.row(solo)
    expect(row).to_contain_text("No name")
    expect(row.get_by_text("solo@example.com")).to_have_count(1)
    stack.clerk.update_user(solo, first_name="Solo")
    expect(row.get_by_role("link")).to_have_text("Solo")
    expect(row.get_by_text("solo@example.com")).to_have_count(1)
    expect(row).not_to_contain_text("No name")
