"""The data that each caller gets, checked on the wire and on the page."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from playwright.sync_api import Route, expect

from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.stack import LocalStack
from tests.support.functions import Functions

if TYPE_CHECKING:
    from tests.support.browser import People, Visit, Visits

pytest_plugins = ["tests.support.browser"]

TOKENS = re.compile(r"/v1/client/sessions/[^/]+/tokens")


def about_others(stack: LocalStack, *own: str) -> set[str]:
    """Return the data of all other users: their ids, names and addresses."""
    found = set()
    for user in stack.clerk.users():
        if user["id"] not in own:
            found |= {user["id"], user["first_name"], user["last_name"]}
            found |= {address["email_address"] for address in user["email_addresses"]}
    return found


def leaks(visit: Visit, secrets: set[str], *, since: int = 0) -> set[str]:
    """Return the data that the browser received; with `since`, only from that many websocket frames on and
    without answers."""
    received = "\n".join(visit.frames[since:]) if since else visit.received()
    return {it for it in secrets if it in received or json.dumps(it)[1:-1] in received}


@pytest.fixture
def crowd(person: People) -> list[str]:
    names = ("Quillon Fernsby", "Ottoline Brackwater", "Zebedee Marchbanks")
    return [person(name, username=f"name_of_{name.split()[0].lower()}") for name in names]


def wait_for_a_change(stack: LocalStack, visit: Visits, person: People, user_id: str) -> None:
    """Rename the user, and return when an admin's page shows it, so that any other page would have got it
    too."""
    watcher = visit(person("Wendeline Overlook", role="admin"))
    watcher.open()
    expect(watcher.row(user_id)).to_be_visible()
    stack.clerk.update_user(user_id, first_name="Peregrine", last_name="Hollowmere")
    expect(watcher.row(user_id)).to_contain_text("Peregrine Hollowmere")
    # After a round trip of each page, all earlier messages have arrived.
    assert watcher.frames


REFUSED: dict[str, tuple[dict[str, Any] | None, str]] = {
    "an ordinary user": ({"role": "member"}, "for administrators"),
    "a user without a role": ({}, "for administrators"),
    "a user with the role in unsafe_metadata": ({"unsafe_metadata": {"role": "admin"}}, "for administrators"),
    "a banned admin": ({"role": "admin", "banned": True}, "banned or locked"),
    "a locked admin": ({"role": "admin", "locked": True}, "banned or locked"),
    "nobody": (None, "Sign in to see"),
}


@pytest.mark.parametrize("who", REFUSED)
def test_caller_who_is_no_admin_gets_a_reason_and_no_data(
    who: str, stack: LocalStack, visit: Visits, person: People, crowd: list[str]
) -> None:
    """No name, address or id of another user reaches the browser, neither when the page opens nor later."""
    fields, words = REFUSED[who]
    own = [] if fields is None else [person("Ursula Nobody", **fields)]
    refused = visit(*own)
    for path in ("/dashboard/audit", "/dashboard/users"):
        refused.open(path, user=crowd[0])
        expect(refused.page.get_by_role("main")).to_contain_text(re.compile(words))
    wait_for_a_change(stack, visit, person, crowd[1])
    refused.page.evaluate("0")
    assert not leaks(refused, about_others(stack, *own) - {crowd[0]})
    assert refused.shown() == []


def by_another_key(clerk: LocalClerk, session_id: str) -> str:
    real = clerk.session_token(session_id)
    claims = jwt.decode(real, options={"verify_signature": False})
    headers = {"kid": jwt.get_unverified_header(real)["kid"]}
    return jwt.encode(claims, generate_private_key(65537, 2048), algorithm="RS256", headers=headers)


def unsigned(clerk: LocalClerk, session_id: str) -> str:
    claims = jwt.decode(clerk.session_token(session_id), options={"verify_signature": False})
    return jwt.encode(claims, "", algorithm="none")


# The console error of Convex's client for a rejected token.
NOT_TAKEN = "Failed to authenticate"

BAD_TOKENS: dict[str, Callable[[LocalClerk, str], str]] = {
    "expired": lambda clerk, session_id: clerk.session_token(session_id, lifetime=-30),
    "signed by another key": by_another_key,
    "not signed": unsigned,
    "for another audience": lambda clerk, session_id: clerk.session_token(
        session_id, claims={"aud": "other"}
    ),
    "of another issuer": lambda clerk, session_id: clerk.session_token(
        session_id, claims={"iss": "http://127.0.0.1:9"}
    ),
    "of a pending session": lambda clerk, session_id: clerk.session_token(
        session_id, claims={"sts": "pending"}
    ),
    "garbage": lambda clerk, session_id: "garbage",
}


def give_tokens(visit: Visit, make: Callable[[LocalClerk, str], str]) -> list[str]:
    """Give the page these tokens in place of Clerk's from now on. Return the list in which they are
    recorded."""
    given: list[str] = []

    def answer(route: Route) -> None:
        given.append(make(visit.stack.clerk, route.request.url.split("/sessions/")[1].split("/")[0]))
        origin = {"Access-Control-Allow-Origin": visit.stack.url, "Access-Control-Allow-Credentials": "true"}
        route.fulfill(json={"object": "token", "jwt": given[-1]}, headers=origin)

    visit.context.route(TOKENS, answer)
    return given


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_bad_token_shows_nothing(
    what: str, stack: LocalStack, visit: Visits, person: People, crowd: list[str]
) -> None:
    """A token that Convex rejects, although it names an admin, brings no data of any user, and an
    explanation."""
    ada = person("Ada Adminson", role="admin")
    refused = visit(ada)
    given = give_tokens(refused, BAD_TOKENS[what])
    if what not in ("of a pending session", "garbage"):
        refused.expect_complaints(NOT_TAKEN)
    refused.open()
    words = re.compile("Your sign-in was not accepted|Sign in to see the users")
    expect(refused.page.get_by_role("main")).to_contain_text(words)
    assert given
    wait_for_a_change(stack, visit, person, crowd[1])
    refused.page.evaluate("0")
    assert not leaks(refused, about_others(stack, ada))
    assert refused.shown() == []


def test_good_token_is_accepted(stack: LocalStack, visit: Visits, person: People, crowd: list[str]) -> None:
    """Clerk's own token, given in the same way as the bad tokens, shows all users."""
    admin = visit(person("Ada Adminson", role="admin"))
    assert give_tokens(admin, lambda clerk, session_id: clerk.session_token(session_id)) == []
    admin.open()
    for user_id in crowd:
        expect(admin.row(user_id)).to_be_visible()
    assert leaks(admin, about_others(stack)) == about_others(stack)


def demote(clerk: LocalClerk, user_id: str) -> None:
    clerk.update_metadata(user_id, public_metadata={"role": "member"})


def promote(clerk: LocalClerk, user_id: str) -> None:
    clerk.update_metadata(user_id, public_metadata={"role": "admin"})


LOSSES: dict[str, tuple[Callable[[LocalClerk, str], Any], Callable[[LocalClerk, str], Any] | None, str]] = {
    "demoted": (demote, promote, "for administrators"),
    "locked": (LocalClerk.lock, LocalClerk.unlock, "banned or locked"),
    "banned": (LocalClerk.ban, None, "banned"),
    "deprovisioned": (LocalClerk.deprovision, None, "your company has removed it"),
    "deleted": (LocalClerk.delete_user, None, "deleted"),
}


@pytest.mark.parametrize("how", LOSSES)
def test_former_admin_loses_the_data(
    how: str, stack: LocalStack, visit: Visits, person: People, crowd: list[str]
) -> None:
    """When the role is lost while the page is open, all data is removed from it, and no more arrives."""
    lose, regain, words = LOSSES[how]
    ada = person("Ada Adminson", role="admin")
    admin = visit(ada)
    admin.open(user=crowd[0])
    expect(admin.page.get_by_role("dialog")).to_contain_text("Quillon Fernsby")
    expect(admin.row(crowd[1])).to_be_attached()
    lose(stack.clerk, ada)
    expect(admin.page.get_by_role("main")).to_contain_text(re.compile(words))
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    html = admin.page.content()
    assert not {it for it in about_others(stack, ada) - {crowd[0]} if it in html}
    seen = len(admin.frames)
    wait_for_a_change(stack, visit, person, crowd[1])
    admin.page.evaluate("0")
    assert not leaks(admin, about_others(stack, ada), since=seen)
    if regain is not None:
        regain(stack.clerk, ada)
        expect(admin.row(crowd[1])).to_contain_text("Peregrine Hollowmere")


def test_new_admin_is_admitted_when_the_row_arrives(
    stack: LocalStack, visit: Visits, person: People, crowd: list[str]
) -> None:
    """Until the webhook arrives, and while the service cannot help, the page says so. It needs no reload."""
    ada = person("Ada Adminson", role="admin")
    admin = visit(ada)
    stack.convex.clear()
    admin.page.route("**/api/users/me", lambda route: route.fulfill(status=404))
    admin.expect_complaints("404")
    admin.open()
    expect(admin.page.get_by_role("main")).to_contain_text("not arrived")
    stack.clerk.update_user(ada, last_name="Adminsdottir")
    expect(admin.row(ada)).to_contain_text("Adminsdottir")


def test_the_row_of_a_new_user_needs_no_webhook(stack: LocalStack, visit: Visits, person: People) -> None:
    """The webhook is withheld: the page asks the service for the row, once, and the new admin is let in."""
    ada = person("Ada Adminson", role="admin")
    admin = visit(ada)
    stack.convex.clear()
    asked: list[str] = []
    admin.page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    admin.open()
    expect(admin.row(ada)).to_contain_text("Ada Adminson")
    assert [it for it in asked if "/api/users" in it] == [f"POST {stack.url}/api/users/me"]


def test_an_admin_is_told_of_refused_changes(stack: LocalStack, visit: Visits, person: People) -> None:
    """With the id and the reason; the notice goes when the user is written."""
    ada, eve = person("Ada Adminson", role="admin"), person("Eve Ordinary")
    admin = visit(ada)
    admin.open()
    notice = admin.page.get_by_text("Changes of 1 user were refused")
    expect(admin.row(eve)).to_be_visible()
    expect(notice).to_have_count(0)
    refusal = {"clerkId": eve, "source": "webhook", "reason": "Convex said no.", "count": 2}
    functions = Functions(stack.convex)
    with functions.http:
        refusal["observedAt"] = time.time() * 1000
        functions.mutation("users:recordRefusals", {"refusals": [refusal]})
    notice.click()
    expect(admin.page.get_by_role("main")).to_contain_text("Convex said no.")
    expect(admin.page.locator(".refusals code", has_text=eve)).to_be_visible()
    time.sleep(0.01)
    stack.clerk.update_user(eve, first_name="Evelyn")
    expect(notice).to_have_count(0)


def test_signs_in_and_out(stack: LocalStack, visit: Visits, person: People) -> None:
    """From a link to Clerk's page and back to the linked view, then with another account, then out."""
    banned = person("Bea Banned", banned=True)
    guest = visit()
    page = guest.page
    guest.open(status="banned")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("button", name="Ada Admin").click()
    guest.expect_rows([banned])
    expect(page).to_have_url(f"{stack.dashboard_url}?status=banned")
    page.get_by_role("button", name="Your account: Ada Admin").click()
    page.get_by_role("button", name="Switch account").click()
    page.get_by_role("button", name="Otto Ordinary").click()
    expect(page.get_by_role("heading", name="This page is for administrators")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert guest.shown() == []


def test_session_that_ends_at_clerk_ends_here(stack: LocalStack, visit: Visits, person: People) -> None:
    """When the last token expires, the page asks the user to sign in."""
    stack.clerk.token_lifetime = 3
    ada = person("Ada Adminson", role="admin")
    admin = visit(ada)
    admin.expect_complaints("404")
    admin.open()
    admin.expect_rows([ada])
    for session in stack.clerk.sessions(user_id=ada, status="active"):
        stack.clerk.revoke_session(session["id"])
    expect(admin.page.get_by_role("link", name="Sign in")).to_be_visible()
    assert admin.shown() == []
