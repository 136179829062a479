"""Lists that change while a page shows them."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from clerk_convex.local.stack import LocalStack

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

PAGE = 25  # rows of the first page
DAY = 86_400_000


def shown_of(admin: Visit, **view: Any) -> list[str]:
    return [row["clerkId"] for row in admin.ask("getUsers", **view)]


def open_with(admin: Visit, count: int, **query: str) -> None:
    admin.open(**query)
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(count)


@pytest.fixture
def admin(visit: Visits, person: People) -> Visit:
    return visit(person("Ada Adminson", role="admin", created_at=DAY))


def change_somebody(
    dice: random.Random, stack: LocalStack, person: People, number: int, admin_id: str
) -> None:
    """Rename, ban, unban, delete or create a user at random."""
    clerk = stack.clerk
    user = dice.choice([user for user in clerk.users() if user["id"] != admin_id])
    match dice.randrange(5):
        case 0:
            clerk.update_user(user["id"], first_name=f"{dice.choice('ABCXYZ')}nother{number}")
        case 1 | 2:
            clerk.update_user(user["id"], banned=not user["banned"])
        case 3:
            clerk.delete_user(user["id"])
        case _:
            person(f"{dice.choice('ABCXYZ')}ewcomer Number{number}", created_at=dice.randrange(1, 200) * DAY)


@pytest.mark.parametrize(
    "view",
    [
        {"sort": {"by": "name", "order": "asc"}},
        {"sort": {"by": "email", "order": "desc"}, "status": "active"},
        {"sort": {"by": "createdAt", "order": "desc"}},
    ],
    ids=["name", "email, active", "joined"],
)
def test_list_stays_right_while_it_is_loaded_and_changes(
    view: dict[str, Any], stack: LocalStack, admin: Visit, person: People
) -> None:
    """After any changes between two pages, the list has the rows and the order that a query returns."""
    dice = random.Random(7)
    for number in range(110):
        person(f"{chr(65 + number % 26)}person Number{number:03}", created_at=dice.randrange(1, 200) * DAY)
    stack.clerk.webhooks.drain(30)
    assert admin.user_id is not None
    query = {"sort": view["sort"]["by"], "order": view["sort"]["order"], "status": view.get("status", "")}
    open_with(admin, PAGE, **query)
    number = 1000
    for _ in range(8):
        for _ in range(5):
            number += 1
            change_somebody(dice, stack, person, number, admin.user_id)
        admin.page.evaluate("scrollTo(0, document.body.scrollHeight)")  # more rows come near the end
    stack.clerk.webhooks.drain(30)
    admin.load_all()
    admin.expect_rows(shown_of(admin, **view))


def test_filter_that_empties(stack: LocalStack, admin: Visit, person: People) -> None:
    """All banned users are unbanned while the filter shows them: the list shrinks, and says that it is
    empty."""
    banned = [
        person(f"Person Number{number}", banned=True, created_at=(number + 2) * DAY) for number in range(30)
    ]
    stack.clerk.webhooks.drain(30)
    open_with(admin, PAGE, status="banned")
    for user_id in banned[5:]:
        stack.clerk.unban(user_id)
    admin.expect_rows(banned[4::-1])
    for user_id in banned[:5]:
        stack.clerk.unban(user_id)
    expect(admin.page.get_by_role("heading", name="No banned users")).to_be_visible()
    assert admin.shown() == []
    stack.clerk.ban(banned[0])
    admin.expect_rows(banned[:1])
    admin.page.get_by_role("group", name="Status").get_by_role("button", name="All").click()
    expect(admin.page.locator("[data-clerk-id]")).to_have_count(PAGE)


def test_last_page_is_deleted(stack: LocalStack, admin: Visit, person: People) -> None:
    """All users of the second page are deleted: the first page is complete, and there are no more to load."""
    users = [person(f"Person Number{number}", created_at=(number + 2) * DAY) for number in range(PAGE + 5)]
    stack.clerk.webhooks.drain(30)
    open_with(admin, PAGE)
    admin.load_more()
    admin.expect_rows([*reversed(users), str(admin.user_id)])
    for user_id in users[:5]:
        stack.clerk.delete_user(user_id)
    admin.expect_rows([*reversed(users[5:]), str(admin.user_id)])
    expect(admin.page.get_by_role("button", name=re.compile("Load"))).to_have_count(0)


def test_all_users_but_the_caller_are_deleted(stack: LocalStack, admin: Visit, person: People) -> None:
    """The list has one row."""
    users = [person(f"Person Number{number}") for number in range(3)]
    stack.clerk.webhooks.drain(30)
    open_with(admin, 4)
    for user_id in users:
        stack.clerk.delete_user(user_id)
    admin.expect_rows([str(admin.user_id)])


def test_renamed_user_moves_in_a_sorted_list(stack: LocalStack, admin: Visit, person: People) -> None:
    """In a list sorted by name, the row of a renamed user moves to its new place."""
    users = [person(f"{name} Person") for name in ("Bea", "Cay", "Dot")]
    stack.clerk.webhooks.drain(30)
    open_with(admin, 4, sort="name")
    admin.expect_rows([str(admin.user_id), *users])
    stack.clerk.update_user(users[0], first_name="Zoe")
    admin.expect_rows([str(admin.user_id), users[1], users[2], users[0]])


def test_search_results_follow_a_change(stack: LocalStack, admin: Visit, person: People) -> None:
    """A renamed user is found by the new name and not by the old one."""
    user_id = person("Bea Person", email_address=["someone@example.com"])
    stack.clerk.webhooks.drain(30)
    open_with(admin, 1, q="bea")
    stack.clerk.update_user(user_id, first_name="Zoe")
    expect(admin.page.get_by_role("heading", name="No match")).to_be_visible()
    stack.clerk.update_user(user_id, first_name="Beatrice")
    admin.expect_rows([user_id])
