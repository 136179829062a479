from __future__ import annotations

import asyncio
import gc
import itertools
import json
import random
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime, formatdate
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import httpx
import pytest

from clerk_convex.clerk import api as module
from clerk_convex.clerk.api import Clerk, Page, Snapshot
from clerk_convex.errors import ClerkError, ClerkMisconfigured, ClerkNotFound, ClerkUnavailable
from clerk_convex.local.clerk import Faults, LocalClerk
from clerk_convex.local.clerk.api import RateLimit
from clerk_convex.net.backoff import Backoff
from clerk_convex.net.pool import Trouble
from tests.support import stand_in
from tests.support.stand_in import Behaviour, StandIn
from tests.support.virtual_time import now, run

KEY = "sk_test_Zm9v"
SECRET = "ada@example.com"  # stands for any data of a user that Clerk may quote
NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
DATE = format_datetime(NOON, usegmt=True)

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


@pytest.fixture
def local() -> Iterator[LocalClerk]:
    with LocalClerk(rate_limit=0) as clerk:
        yield clerk


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def in_tokyo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


class Wire:
    """Stands in for the network: gives its answers one after the other, and records requests with their
    times."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []
        self.answers: list[httpx.Response | Exception] = []
        self.latency = 0.0
        self.then: Callable[[], httpx.Response | Exception] = lambda: answer([])

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(now())
        await asyncio.sleep(self.latency)
        result = self.answers.pop(0) if self.answers else self.then()
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **_: httpx.MockTransport(wire.handle))
    return wire


def answer(body: object, status: int = 200, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers={"Date": DATE} | headers)


def refusal(status: int, code: str = "internal_clerk_error", **headers: str) -> httpx.Response:
    body = {"errors": [{"code": code, "message": "no", "long_message": SECRET}], "clerk_trace_id": "4f2a"}
    return answer(body, status, **{name.replace("_", "-"): value for name, value in headers.items()})


def connected(local: LocalClerk, **options: Any) -> Clerk:
    return Clerk(local.secret_key, local.url, **options)


# Requests and answers.


@pytest.mark.anyio
async def test_pages_follow_each_other(local: LocalClerk) -> None:
    """The cursor leads through all users, the oldest first, and each page equals Clerk's."""
    for number in range(7):
        local.create_user(first_name=str(number))
    clerk = connected(local)
    seen: list[Any] = []
    while True:
        page = await clerk.list_users(limit=3, starting_after=seen[-1]["id"] if seen else None)
        seen += page.users
        if len(page.users) < 3:
            break
    assert seen == local.users()
    assert await clerk.count_users() == 7


@pytest.mark.anyio
async def test_public_keys(local: LocalClerk, server: StandIn) -> None:
    """The ids of the public keys are those that verify tokens."""
    assert await connected(local).key_ids() == {key["kid"] for key in local.jwks()["keys"]}
    server.behave(then=stand_in.answer(200, {"keys": [{"kid": "a"}, {"kty": "RSA"}, None]}))
    assert await Clerk(KEY, server.url).key_ids() == {"a"}
    server.behave(then=stand_in.answer(200, {"keys": None}))
    with pytest.raises(ClerkUnavailable, match="cannot be read"):
        await Clerk(KEY, server.url).key_ids()


@pytest.mark.anyio
async def test_several_users_are_banned_in_one_call(local: LocalClerk) -> None:
    """Fifty at most. Each user comes back as Clerk has it then."""
    clerk = connected(local)
    ids = [local.create_user()["id"] for _ in range(3)]
    page = await clerk.ban_users(ids[:2])
    assert [(user["id"], user["banned"]) for user in page.users] == [(ids[0], True), (ids[1], True)]
    assert 0 < page.observed_at < time.time() * 1000
    assert [local.get_user(user_id)["banned"] for user_id in ids] == [True, True, False]
    assert [user["banned"] for user in (await clerk.unban_users(ids[:1])).users] == [False]
    assert [local.get_user(user_id)["banned"] for user_id in ids] == [False, True, False]


@pytest.mark.anyio
async def test_sessions_are_listed_and_revoked(local: LocalClerk) -> None:
    """With the device of each, the newest first. An unknown one is a 404 that is not about a user."""
    clerk = connected(local)
    ada = local.create_user()["id"]
    assert await clerk.list_sessions(ada) == []
    first, second = (local.sign_in(ada)["id"] for _ in range(2))
    found = await clerk.list_sessions(ada, status="active")
    assert [session["id"] for session in found] == [second, first]
    assert found[0]["latest_activity"]["browser_name"]
    assert await clerk.list_sessions(ada, limit=1, offset=1) == [found[1]]
    assert (await clerk.revoke_session(first))["status"] == "revoked"
    assert (await clerk.get_session(first))["status"] == "revoked"
    assert [session["id"] for session in await clerk.list_sessions(ada, status="active")] == [second]
    with pytest.raises(ClerkError, match=r"no such session \(any more\)") as caught:
        await clerk.revoke_session("sess_nobody")
    assert type(caught.value) is ClerkError


@pytest.mark.anyio
async def test_invitations_come_without_their_link(local: LocalClerk) -> None:
    """The link is as good as the invitation. A second revocation is refused."""
    clerk = connected(local)
    made = await clerk.create_invitation(
        {"email_address": SECRET, "public_metadata": {"role": "admin"}, "expires_in_days": 7}
    )
    assert made["status"] == "pending"
    assert made["expires_at"] == made["created_at"] + 7 * 86_400_000
    assert await clerk.list_invitations(query="ADA@") == await clerk.list_invitations() == [made]
    revoked = await clerk.revoke_invitation(made["id"])
    assert revoked["status"] == "revoked"
    assert await clerk.list_invitations() == []
    assert await clerk.list_invitations(status="revoked", order_by="email_address", limit=1) == [revoked]
    assert not any("url" in invitation for invitation in (made, revoked))
    with pytest.raises(ClerkError, match=r"invitation_already_revoked.*Nothing is left to do"):
        await clerk.revoke_invitation(made["id"])
    with pytest.raises(ClerkError, match="no such invitation"):
        await clerk.revoke_invitation("inv_nobody")


@pytest.mark.anyio
async def test_a_user_can_be_managed(local: LocalClerk) -> None:
    """Each write has the effect that its name says, and returns the user as Clerk has it then."""
    clerk = connected(local)

    async def check(call: Awaitable[Snapshot], **expected: Any) -> str:
        snapshot = await call
        user: dict[str, Any] = snapshot.user
        assert user == local.get_user(user["id"])
        assert {name: user[name] for name in expected} == expected
        assert 0 < snapshot.observed_at < time.time() * 1000
        return str(user["id"])

    fields = {
        "first_name": "Ada",
        "email_address": [SECRET],
        "public_metadata": {"role": "user", "team": "a"},
    }
    ada = await check(clerk.create_user(fields), first_name="Ada")
    await check(clerk.get_user(ada), first_name="Ada")
    await check(clerk.update_user(ada, {"first_name": "Augusta"}), first_name="Augusta")
    await check(clerk.update_metadata(ada, {"role": "admin"}), public_metadata={"role": "admin", "team": "a"})
    await check(clerk.update_metadata(ada, {"team": None}), public_metadata={"role": "admin"})
    await check(clerk.ban(ada), banned=True)
    await check(clerk.unban(ada), banned=False)
    await check(clerk.lock(ada), locked=True)
    await check(clerk.unlock(ada), locked=False)
    assert (await clerk.delete_user(ada)).user == {"id": ada, "object": "user", "deleted": True}
    assert local.count == 0
    for call in (clerk.get_user, clerk.ban, clerk.delete_user):
        with pytest.raises(ClerkNotFound, match=r"no such user \(any more\)") as caught:
            await call(ada)
        assert caught.value.status == 404
        assert caught.value.observed_at > 0
        assert caught.value.__context__ is None


@pytest.mark.anyio
async def test_a_hundred_ids_are_looked_up_in_one_call(local: LocalClerk) -> None:
    """All existing users are found, not only the ten of Clerk's default limit."""
    clerk = connected(local)
    ids = [local.create_user()["id"] for _ in range(99)]
    assert await clerk.existing([*ids, "user_gone"]) == set(ids)
    assert await clerk.existing([]) == set()


def test_ids_with_a_sign_are_not_negated(wire: Wire) -> None:
    """In these two filters Clerk reads "-5" as "all but 5" and "+5" as "5". So a sign is added."""
    wire.then = lambda: answer([])
    values = ["-5", "+5", "5", "--"]
    run(Clerk(KEY).list_users(external_id=values, user_id=values, username=["-5"], phone_number=["+1555"]))
    query = parse_qs(wire.requests[0].url.query.decode())
    assert query["external_id"] == query["user_id"] == ["+-5", "++5", "5", "+--"]
    assert (query["username"], query["phone_number"]) == (["-5"], ["+1555"])
    wire.then = lambda: answer([{"id": "-user_1"}, {"id": "user_2"}])
    assert run(Clerk(KEY).existing(["-user_1"])) == {"-user_1"}
    assert parse_qs(wire.requests[1].url.query.decode())["user_id"] == ["+-user_1"]


def test_only_requested_users_are_found(wire: Wire) -> None:
    """An id that Clerk reads differently finds no other user."""
    wire.then = lambda: answer([{"id": "user_other"}, {"id": ["user_a"]}, None, {"id": "user_a"}])
    assert run(Clerk(KEY).existing(["-user_b", "user_a", "user_a"])) == {"user_a"}


def test_requests_have_clerks_form(wire: Wire) -> None:
    """The version, the key, an encoded plus sign, repeated names, whole milliseconds."""
    wire.then = lambda: answer({"total_count": 3})

    async def main() -> None:
        clerk = Clerk(KEY)
        wire.answers.append(answer([]))
        await clerk.list_users(starting_after="user_a", created_at_after=1.5, created_at_before=1.5)
        wire.answers.append(answer([]))
        await clerk.existing(["user_a", "user_b"])
        await clerk.count_users(query="a b\ud800", banned=False, last_sign_in_at_after=5, username=None)
        await clerk.update_metadata("user/a", {"a": 1})
        await clerk.update_metadata("user_a", {"a": Decimal("0.10000000000000000001")})

    run(main())
    lists, existing, count, metadata, exact = wire.requests
    for request in wire.requests:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["clerk-api-version"] == "2026-05-12"
    assert str(lists.url) == (
        "https://api.clerk.com/v1/users?limit=500&order_by=%2Bcreated_at&starting_after=user_a"
        "&created_at_after=1&created_at_before=2"
    )
    assert parse_qsl(existing.url.query.decode()) == [
        ("limit", "100"),
        ("order_by", "+created_at"),
        ("user_id", "user_a"),
        ("user_id", "user_b"),
    ]
    assert parse_qsl(count.url.query.decode()) == [
        ("query", "a b?"),
        ("banned", "false"),
        ("last_sign_in_at_after", "5"),
    ]
    assert metadata.method == "PATCH"
    assert metadata.url.raw_path == b"/v1/users/user%2Fa/metadata"
    assert metadata.headers["content-type"] == "application/json"
    assert json.loads(metadata.content) == {"public_metadata": {"a": 1}}
    assert exact.content == b'{"public_metadata":{"a":0.10000000000000000001}}'


@pytest.mark.parametrize("url", ["http://clerk.test", "http://clerk.test/", "http://clerk.test/v1/"])
def test_the_url_may_end_as_in_clerks_documents(wire: Wire, url: str) -> None:
    run(Clerk(KEY, url).list_users())
    assert wire.requests[0].url.path == "/v1/users"


def test_invalid_arguments_are_not_sent(wire: Wire) -> None:
    """A limit that Clerk replaces by ten, more ids than Clerk reads, and ids that lead to another path."""

    async def main() -> None:
        clerk = Clerk(KEY)
        for limit in (0, 501):
            with pytest.raises(ValueError, match="1 to 500"):
                await clerk.list_users(limit=limit)
        with pytest.raises(ValueError, match="100"):
            await clerk.existing(["user_a"] * 101)
        for user_id in ("", ".", ".."):
            with pytest.raises(ValueError, match="not the id of a user"):
                await clerk.delete_user(user_id)
            with pytest.raises(ValueError, match="not the id of a session"):
                await clerk.revoke_session(user_id)
        for count in (0, 51):
            with pytest.raises(ValueError, match="1 to 50 users"):
                await clerk.ban_users(["user_a"] * count)
        with pytest.raises(ValueError, match="JSON"):
            await clerk.update_user("user_a", {"n": float("nan")})

    run(main())
    assert wire.requests == []


def test_numbers_and_users_are_read_without_loss(wire: Wire) -> None:
    """No number is rounded, and an item that is no user does not stop the others on its page."""
    wire.then = lambda: answer(
        b'[{"id":"a","n":12345678901234567890.5},7,{"deep":%b}]' % (b"[" * 5000 + b"]" * 5000)
    )
    first, second, third = run(Clerk(KEY).list_users()).users
    assert first["n"] == Decimal("12345678901234567890.5")
    assert second == 7
    assert isinstance(third["deep"], list)


def test_nested_metadata_hides_no_user(wire: Wire) -> None:
    """A page is read even if many users on it nest their metadata as deeply as Clerk allows."""
    nested = "[" * 4096 + "]" * 4096
    page = ",".join(f'{{"id":"user_{number}","unsafe_metadata":{nested}}}' for number in range(12))
    wire.then = lambda: httpx.Response(200, content=f"[{page}]".encode())
    assert len(run(Clerk(KEY).list_users()).users) == 12


def test_repr_has_no_personal_data() -> None:
    """A page or a user that is logged by mistake shows no data."""
    assert SECRET not in f"{Page([{'email': SECRET}], 1.0)} {Snapshot({'email': SECRET}, 1.0)}"


def test_observed_at_is_early_by_clerks_clock(wire: Wire) -> None:
    """It is the Date header, less the time of the request, less a second. This machine's clock is not
    used."""
    wire.latency = 2.5
    expected = (NOON.timestamp() - 2.5 - 1) * 1000
    assert run(Clerk(KEY).list_users()).observed_at == pytest.approx(expected, abs=0.1)
    wire.then = lambda: refusal(404, "resource_not_found")
    with pytest.raises(ClerkNotFound) as caught:
        run(Clerk(KEY).get_user("user_a"))
    assert caught.value.observed_at == pytest.approx(expected, abs=0.1)
    # Clerk's Date leaves out up to a second, and its clocks may differ by one.
    assert caught.value.gone_by == pytest.approx((NOON.timestamp() + 2) * 1000)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Saturday, 01-Aug-26 12:00:00 GMT", (NOON.timestamp() - 1) * 1000),
        ("Sat Aug  1 12:00:00 2026", (NOON.timestamp() - 1) * 1000),
        ("Sat, 01 Aug 2026 14:00:00 +0200", (NOON.timestamp() - 1) * 1000),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("", 0),
        ("yesterday", 0),
        ("Sat, 01 Aug 20260 12:00:00 GMT", 0),
        ("Sat, 01 Aug 2026 12:00:00 +99999999999", 0),
    ],
)
@pytest.mark.usefixtures("in_tokyo")
def test_a_malformed_date_is_the_earliest_stamp(wire: Wire, date: str, expected: float) -> None:
    wire.then = lambda: answer([], Date=date)
    assert run(Clerk(KEY).list_users()).observed_at == pytest.approx(expected, abs=0.1)


def test_a_missing_date_is_the_earliest_stamp(wire: Wire) -> None:
    wire.then = lambda: httpx.Response(200, content=b"[]")
    assert run(Clerk(KEY).list_users()).observed_at == 0
    wire.then = lambda: httpx.Response(404, json={"errors": [{"code": "resource_not_found"}]})
    with pytest.raises(ClerkNotFound) as caught:
        run(Clerk(KEY).get_user("user_a"))
    assert (caught.value.observed_at, caught.value.gone_by) == (0, float("inf"))


# Errors and retries.

REJECTED = (
    "Clerk answered 401: CLERK_SECRET_KEY was rejected. "
    "Copy the key (sk_…) from Clerk, API keys, and set it again."
)
ERRORS: dict[str, tuple[httpx.Response, type[ClerkError], str]] = {
    "401": (refusal(401, "clerk_key_invalid"), ClerkMisconfigured, REJECTED),
    "401, empty": (answer(b"", 401), ClerkMisconfigured, REJECTED),
    "301": (answer(b"", 301, Location="http://elsewhere.test"), ClerkMisconfigured, "301, a redirect"),
    "304": (answer(b"", 304), ClerkMisconfigured, "CLERK_API_URL is wrong. Set it to https://api.clerk.com"),
    "404, HTML": (answer(b"<html>", 404), ClerkMisconfigured, "404: what is at CLERK_API_URL is not Clerk"),
    "404 of another thing": (refusal(404, "not_user"), ClerkError, "404 (not_user): it refuses"),
    "404, empty code": (refusal(404, ""), ClerkError, "Clerk answered 404: it refuses"),
    "405": (answer({"detail": SECRET}, 405), ClerkMisconfigured, "405: what is at"),
    "400, no list": (answer({"errors": SECRET}, 400), ClerkMisconfigured, "400: what is at"),
    "400, no code": (answer({"errors": [SECRET, {"code": SECRET}]}, 400), ClerkError, "400: it refuses"),
    "400, no errors": (answer({"errors": []}, 400), ClerkError, "400: it refuses"),
    "400, empty code": (refusal(400, ""), ClerkError, "Clerk answered 400: it refuses"),
    "400, digits": (refusal(400, "oauth_2_failed"), ClerkError, "400 (oauth_2_failed): it refuses"),
    "403, long": (refusal(403, "x" * 76 + "_2"), ClerkError, "x_2): the instance may not"),
    "400, deprovisioned": (refusal(400, "deprovisioned"), ClerkError, "the company's directory has removed"),
    "401, deprovisioned": (refusal(401, "deprovisioned"), ClerkError, "the company's directory has removed"),
    "409, user": (refusal(409, "user_managed_by_scim"), ClerkError, "Remove the user there"),
    "409, attribute": (refusal(409, "attribute_managed_by_scim"), ClerkError, "this field. Change it there"),
    "409, membership": (
        refusal(409, "organization_membership_managed_by_scim"),
        ClerkError,
        "directory manages this. Change it there",
    ),
    "400": (refusal(400, "request_body_invalid"), ClerkError, "400 (request_body_invalid): it refuses"),
    "402": (refusal(402, "unsupported_subscription_plan_features"), ClerkError, "Change the plan"),
    "403": (refusal(403, "user_quota_exceeded"), ClerkError, "as many users as it may. Its plan"),
    "403, other": (refusal(403, "not_allowed"), ClerkError, "403 (not_allowed): the instance may not"),
    "403, HTML": (answer(b"<html>", 403), ClerkError, "403: the instance may not"),
    "409": (refusal(409, "resource_locked"), ClerkUnavailable, "Try again in a moment"),
    "409, other": (refusal(409, "conflict"), ClerkError, "409 (conflict): it refuses"),
    "413": (refusal(413, "request_body_too_large"), ClerkError, "Send less"),
    "422": (refusal(422, "form_identifier_exists"), ClerkError, "422 (form_identifier_exists): another"),
    "422, other": (refusal(422, "form_param_unknown"), ClerkError, "Its own message says why"),
    "429": (refusal(429, "too_many_requests", retry_after="8"), ClerkUnavailable, "Try again in 8 s."),
    "429, bare": (answer(b"", 429), ClerkUnavailable, "too many calls with this key. Try again later."),
    "408": (answer(b"", 408), ClerkUnavailable, "408: it has trouble"),
    "500": (refusal(500), ClerkUnavailable, "500 (internal_clerk_error): it has trouble"),
    "503": (
        answer(b"<html>", 503),
        ClerkUnavailable,
        "503: it has trouble. Try again later; status.clerk.com",
    ),
    "503, success": (answer([], 503), ClerkUnavailable, "503"),
    "garbage": (answer(b"<html>"), ClerkUnavailable, "cannot be read. Is CLERK_API_URL"),
    "not UTF-8": (answer(b'{"a":"\xff"}'), ClerkUnavailable, "cannot be read"),
    "cut off": (answer(b'{"a":'), ClerkUnavailable, "cannot be read"),
    "NaN": (answer(b'{"a":NaN}'), ClerkUnavailable, "cannot be read"),
    "nested and cut off": (answer(b"[" * 100_000), ClerkUnavailable, "cannot be read"),
    "a list": (answer([]), ClerkUnavailable, "cannot be read"),
    "nothing": (answer(b"", 204), ClerkUnavailable, "cannot be read"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_answer_has_its_error(wire: Wire, name: str) -> None:
    """One sentence says what to do. Clerk's own message, which may quote a user, is kept apart from it."""
    response, expected, text = ERRORS[name]
    wire.answers.append(response)
    with pytest.raises(ClerkError) as caught:
        run(Clerk(KEY, patience=0).get_user("user_a"))
    error = caught.value
    assert type(error) is expected
    assert text in str(error)
    for hidden in (SECRET, KEY, "\n"):
        assert hidden not in str(error)
    assert error.__context__ is None
    assert error.status == response.status_code
    if b"clerk_trace_id" in response.content:
        own = response.json()["errors"][0]
        assert (error.code, error.message, error.trace_id) == (own["code"] or None, SECRET, "4f2a")
    else:
        assert (error.code, error.message, error.trace_id) == (None, None, None)


def test_clerks_message_is_kept_up_to_a_length(wire: Wire) -> None:
    """Several errors make one message, values that are no text are dropped, and the length is limited."""
    errors = [{"message": "One."}, {"code": "two", "message": "Two.", "long_message": "Two!"}, {"message": 3}]
    wire.answers = [
        answer({"errors": errors, "clerk_trace_id": 5}, 422),
        answer({"errors": [{"code": "a", "message": "m" * 9999}], "clerk_trace_id": "t" * 9999}, 422),
    ]
    clerk = Clerk(KEY)
    with pytest.raises(ClerkError) as caught:
        run(clerk.update_user("user_a", {}))
    assert (caught.value.code, caught.value.message, caught.value.trace_id) == ("two", "One. Two!", None)
    with pytest.raises(ClerkError) as caught:
        run(clerk.update_user("user_a", {}))
    assert caught.value.message == "m" * 1000
    assert caught.value.trace_id == "t" * 100


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"total_count":"3"}'])
def test_a_malformed_count_is_an_error(wire: Wire, body: bytes) -> None:
    wire.then = lambda: answer(body)
    with pytest.raises(ClerkUnavailable, match="cannot be read"):
        run(Clerk(KEY, patience=0).count_users())


def test_a_404_of_a_list_proves_no_absence(wire: Wire) -> None:
    """A 404 means that a user is gone only in a call for that user."""
    wire.then = lambda: refusal(404, "resource_not_found")
    with pytest.raises(ClerkError) as caught:
        run(Clerk(KEY).list_users())
    assert type(caught.value) is ClerkError


TROUBLE: dict[str, httpx.Response | Exception] = {
    "500": refusal(500),
    "503": refusal(503),
    "garbage": answer(b"<html>"),
    "unreachable": httpx.ConnectError(SECRET),
    "slow to connect": httpx.ConnectTimeout(SECRET),
    "broken": httpx.ReadError(SECRET),
    "429": refusal(429, retry_after="3"),
    "locked": refusal(409, "resource_locked"),
}
CALLS: dict[str, Callable[[Clerk], Awaitable[Any]]] = {
    "get": lambda clerk: clerk.get_user("user_a"),
    "update": lambda clerk: clerk.update_user("user_a", {"first_name": "Ada"}),
    "metadata": lambda clerk: clerk.update_metadata("user_a", {"role": "admin"}),
    "delete": lambda clerk: clerk.delete_user("user_a"),
    "ban": lambda clerk: clerk.ban("user_a"),
    "unban": lambda clerk: clerk.unban("user_a"),
    "lock": lambda clerk: clerk.lock("user_a"),
    "unlock": lambda clerk: clerk.unlock("user_a"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_is_waited_out(wire: Wire, call: str, trouble: str) -> None:
    """Idempotent calls are repeated until the trouble is over, with growing pauses."""
    wire.answers = [TROUBLE[trouble]] * 5
    wire.then = lambda: answer({"id": "user_a"})

    async def main() -> Any:
        return await CALLS[call](Clerk(KEY, patience=60))

    assert run(main()).user == {"id": "user_a"}
    assert len(wire.requests) == 6
    assert wire.times[-1] - wire.times[-2] < 11


def test_a_user_is_not_created_twice(wire: Wire) -> None:
    """Creating is repeated only if Clerk certainly did not do it. The error says whether it may have."""

    async def main(patience: float) -> Snapshot:
        return await Clerk(KEY, patience=patience).create_user({"email_address": [SECRET]})

    for name, trouble in TROUBLE.items():
        may_be_done = name not in {"unreachable", "slow to connect", "429", "locked"}
        wire.requests.clear()
        wire.answers = [trouble, answer({"id": "user_a"})]
        if not may_be_done:
            assert run(main(60)).user == {"id": "user_a"}
            assert len(wire.requests) == 2
        wire.requests.clear()
        wire.answers = [trouble, answer({"id": "user_a"})]
        with pytest.raises(ClerkUnavailable) as caught:
            run(main(60 if may_be_done else 0))
        assert caught.value.may_be_done is may_be_done
        assert len(wire.requests) == 1


def test_patience_ends(wire: Wire) -> None:
    """Attempts begin only within the patience. The error is that of the last attempt."""
    wire.then = lambda: refusal(503)
    wire.answers = [httpx.ConnectError(SECRET)]
    with pytest.raises(ClerkUnavailable, match="503") as caught:
        run(Clerk(KEY, patience=30).list_users())
    assert caught.value.__context__ is None
    assert 5 <= len(wire.requests) <= 12
    assert 19 < wire.times[-1] <= 30


def test_no_patience_is_one_attempt(wire: Wire) -> None:
    wire.then = lambda: refusal(503)
    with pytest.raises(ClerkUnavailable):
        run(Clerk(KEY, patience=0).list_users())
    assert len(wire.requests) == 1


def test_an_attempt_has_a_deadline_and_the_call_too(wire: Wire) -> None:
    """However long attempts hang, a call takes no longer than patience and timeout together."""
    wire.latency = 1000
    ended = 0.0

    async def main() -> None:
        nonlocal ended
        with pytest.raises(ClerkUnavailable, match="did not answer within 4 s"):
            await Clerk(KEY, timeout=4, patience=10).list_users()
        ended = now()

    run(main())
    assert 3 <= len(wire.requests) <= 4
    assert 10 < ended <= 14.001


def test_may_be_done_covers_all_attempts(wire: Wire) -> None:
    """It is False only if no attempt may have done it."""
    for first, may_be_done in ((httpx.ConnectError(SECRET), False), (refusal(502), True)):
        wire.answers = [first]
        wire.then = lambda: httpx.ConnectError(SECRET)
        with pytest.raises(ClerkUnavailable, match="cannot be reached") as caught:
            run(Clerk(KEY).ban("user_a"))
        assert caught.value.may_be_done is may_be_done
    wire.answers = [httpx.ReadError(SECRET)]  # and then a ConnectError without delay
    with pytest.raises(ClerkUnavailable, match="broke") as caught:
        run(Clerk(KEY, patience=0).ban("user_a"))
    assert caught.value.may_be_done


def test_waiting_for_the_turn_counts(wire: Wire) -> None:
    """An attempt that begins late has less time."""
    ended = 0.0

    async def main() -> None:
        nonlocal ended
        clerk = Clerk(KEY, timeout=5, patience=0)
        await asyncio.gather(*(clerk.list_users() for _ in range(25 + 20)))
        wire.latency = 1000
        started = now()
        calls = [clerk.list_users() for _ in range(10)]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, ClerkUnavailable)
        ended = now() - started

    run(main())
    assert ended == pytest.approx(5, abs=0.01)


def test_a_deletion_whose_answer_got_lost_is_done(wire: Wire) -> None:
    """If a second attempt finds the user gone, the call succeeded, whether or not the first failure was
    seen."""
    for trouble in (refusal(502), httpx.ReadError(SECRET)):
        wire.answers = [trouble, refusal(404, "resource_not_found")]
        snapshot = run(Clerk(KEY).delete_user("user_a"))
        assert snapshot.user == {"id": "user_a", "object": "user", "deleted": True}
        assert snapshot.observed_at > 0
    wire.answers = [httpx.ConnectError(SECRET), refusal(404, "resource_not_found")]
    with pytest.raises(ClerkNotFound):
        run(Clerk(KEY).delete_user("user_a"))


@pytest.mark.parametrize(
    ("jitter", "pauses"), [(1.0, [0.5, 1, 2, 4, 8, 10, 10]), (0.5, [0.25, 0.5, 1, 2, 4, 5])]
)
def test_pauses_double_up_to_ten_seconds(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, jitter: float, pauses: list[float]
) -> None:
    """From half a second, each shortened at random by up to a half, while the patience lasts."""
    monkeypatch.setattr(random, "uniform", lambda low, high: {0.5: low, 1.0: high}[jitter])
    wire.answers = [refusal(500) for _ in pauses]
    run(Clerk(KEY, patience=100).list_users())
    waited = [later - earlier for earlier, later in itertools.pairwise(wire.times)]
    assert waited == pytest.approx(pauses, abs=0.01)


def test_limits_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt has 30 seconds, a connection five, a response 64 MiB. Attempts begin for ten seconds."""
    clerk = Clerk(KEY)
    limits = {}

    async def send(*args: Any, **options: Any) -> Trouble:
        limits.update(options)
        return Trouble.UNREACHABLE

    async def main() -> float:
        with pytest.raises(ClerkUnavailable):
            await clerk.list_users()
        return now()

    monkeypatch.setattr(clerk._pool, "send", send)
    assert 3.75 <= run(main()) <= 10  # 3.75: each pause is halved, and the fifth would end too late
    assert (clerk.timeout, clerk.patience, clerk._pool.connect_timeout) == (30.0, 10.0, 5.0)
    assert limits["largest"] == 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": format_datetime(NOON.replace(second=7), usegmt=True)}, 7),
        ({"Retry-After": "3600"}, 60),
        ({"Retry-After": format_datetime(NOON.replace(year=2030), usegmt=True)}, 60),
        ({"Retry-After": format_datetime(NOON.replace(year=2020), usegmt=True)}, 0.4),
        ({"Retry-After": format_datetime(NOON.replace(second=7), usegmt=True), "Date": ""}, 0.4),
        ({"Retry-After": "-5"}, 0.4),
        ({"Retry-After": "soon"}, 0.4),
        ({}, 0.4),
    ],
)
def test_retry_after_is_honoured(wire: Wire, header: dict[str, str], seconds: float) -> None:
    """As seconds or as a date by Clerk's clock, up to a minute. Any other value is ignored."""
    for status in (429, 503):
        wire.times.clear()
        wire.answers = [answer(b"", status, **header)]
        run(Clerk(KEY, patience=100).list_users())
        pause = wire.times[1] - wire.times[0]
        assert seconds * 0.6 <= pause <= seconds + 0.2 if seconds < 1 else pause == pytest.approx(seconds)


def test_one_429_holds_all_calls(wire: Wire) -> None:
    """No other call is sent before Clerk's time is over, and there is no burst then."""
    wire.answers = [refusal(429, retry_after="20")]
    clerk = Clerk(KEY, patience=60)

    async def main() -> None:
        first = asyncio.create_task(clerk.list_users())
        await asyncio.sleep(1)
        await asyncio.gather(first, *(clerk.list_users() for _ in range(5)))

    run(main())
    first, *rest = wire.times
    assert rest[0] == pytest.approx(first + 20)
    assert [later - earlier for earlier, later in itertools.pairwise(rest)] == pytest.approx([1 / 7] * 5)


def test_the_limit_of_invitations_holds_no_other_call(wire: Wire) -> None:
    """It is for an hour. The invitation fails with Clerk's time, and users are read meanwhile."""
    wire.answers = [refusal(429, retry_after="3000")]
    clerk = Clerk(KEY)

    async def main() -> None:
        with pytest.raises(ClerkUnavailable, match=r"429 .* in 3000 s") as caught:
            await clerk.create_invitation({"email_address": SECRET})
        assert caught.value.may_be_done is False
        await clerk.list_users()

    run(main())
    assert wire.times[1] - wire.times[0] < 1


def test_an_invitation_is_not_sent_or_revoked_twice(wire: Wire) -> None:
    """If Clerk may have done it, the call fails, and says so."""
    calls: tuple[Callable[[Clerk], Awaitable[Any]], ...] = (
        lambda clerk: clerk.create_invitation({"email_address": SECRET}),
        lambda clerk: clerk.revoke_invitation("inv_1"),
    )
    for call in calls:
        wire.requests.clear()
        wire.answers = [refusal(502)]

        async def main(call: Callable[[Clerk], Awaitable[Any]] = call) -> None:
            with pytest.raises(ClerkUnavailable) as caught:
                await call(Clerk(KEY, patience=60))
            assert caught.value.may_be_done

        run(main())
        assert len(wire.requests) == 1


def test_a_call_that_would_wait_too_long_fails_early(wire: Wire) -> None:
    """The error says after how many seconds to try again."""
    wire.answers = [refusal(429, retry_after="20")]
    clerk = Clerk(KEY, timeout=5, patience=0)

    async def main() -> None:
        with pytest.raises(ClerkUnavailable, match=r"429 .* in 20 s") as caught:
            await clerk.list_users()
        assert caught.value.retry_after == 20
        await asyncio.sleep(5)
        with pytest.raises(ClerkUnavailable, match=r"Too many calls wait .* in 15 s") as caught:
            await clerk.list_users()
        assert caught.value.retry_after == pytest.approx(15)
        assert not caught.value.may_be_done
        assert now() == pytest.approx(5, abs=0.01)

    run(main())
    assert len(wire.requests) == 1


def test_a_429_is_reported_if_the_queue_is_too_long(wire: Wire) -> None:
    """The error is Clerk's 429, and not that other calls wait."""
    wire.then = lambda: refusal(429, retry_after="9")
    clerk = Clerk(KEY, timeout=1, patience=10)

    async def main() -> list[BaseException | Page]:
        return await asyncio.gather(*(clerk.list_users() for _ in range(20)), return_exceptions=True)

    for result in run(main()):
        assert isinstance(result, ClerkUnavailable)
        assert result.status == 429


@pytest.mark.parametrize(("key", "limit"), [("sk_test_x", 100), ("sk_live_x", 1000), ("other", 100)])
def test_calls_stay_below_clerks_rate(wire: Wire, key: str, limit: int) -> None:
    """Many concurrent calls meet no 429 of Clerk's own limit, and take about as long as they must."""

    async def main() -> None:
        gate = RateLimit(limit, clock=now)
        wire.then = lambda: refusal(429) if gate.wait() else answer([])
        clerk = Clerk(key, patience=1000)
        await asyncio.gather(*(clerk.list_users() for _ in range(limit * 3)))

    run(main())
    assert len(wire.requests) == limit * 3
    assert 25 < wire.times[-1] < 45


# Repeated refusals, and the instance.


def test_a_refusal_is_raised_after_it_was_repeated(wire: Wire) -> None:
    """The call is repeated after each pause. After one other answer the refusal is ignored."""

    async def main(*answers: httpx.Response) -> Any:
        wire.requests, wire.times, wire.answers = [], [], list(answers)
        return await Clerk(KEY, doubts=(1.0, 4.0)).list_users()

    for status in (301, 400, 401, 402, 403, 404, 405, 409, 422):
        started = refusal(status)
        assert run(main(started, refusal(status))).users == []
        assert wire.times == pytest.approx([0, 1, 5], abs=1e-3)
        with pytest.raises(ClerkError) as caught:
            run(main(*[refusal(status)] * 3))
        assert caught.value.status == status
        assert caught.value.__context__ is None
        assert len(wire.requests) == 3


def test_a_repeated_call_has_the_whole_patience(wire: Wire) -> None:
    """Trouble between two refusals is waited out, and the time spent before does not count."""
    wire.answers = [refusal(503), refusal(401), *[refusal(503, retry_after="25")]]
    assert run(Clerk(KEY, patience=30, doubts=(10.0,)).list_users()).users == []
    assert wire.times[-1] > 35


def test_without_doubts_a_refusal_is_raised_immediately(wire: Wire) -> None:
    wire.answers = [refusal(401)]
    with pytest.raises(ClerkMisconfigured):
        run(Clerk(KEY).list_users())
    assert len(wire.requests) == 1


def test_errors_that_are_not_repeated(wire: Wire) -> None:
    """A 404 of one user, a refusal to create one, and trouble when the patience is over."""
    wire.then = lambda: refusal(404, "resource_not_found")
    clerk = Clerk(KEY, patience=0, doubts=(1.0,))
    with pytest.raises(ClerkNotFound):
        run(clerk.get_user("user_a"))
    wire.then = lambda: refusal(422)
    with pytest.raises(ClerkError):
        run(clerk.create_user({}))
    wire.then = lambda: refusal(503)
    with pytest.raises(ClerkUnavailable):
        run(clerk.list_users())
    wire.then = lambda: httpx.LocalProtocolError("no")
    with pytest.raises(ClerkMisconfigured, match="characters"):
        run(clerk.list_users())
    assert len(wire.requests) == 4


def test_on_retry_is_called_before_each_pause(wire: Wire) -> None:
    """With the error and the time since the call began. Without a pause it is not called."""
    told: list[tuple[int | None, float]] = []
    wire.answers = [refusal(503, retry_after="2"), refusal(429, retry_after="3"), refusal(401)]
    clerk = Clerk(KEY, doubts=(1.0,), on_retry=lambda error, seconds: told.append((error.status, seconds)))
    run(clerk.list_users())
    assert [status for status, _ in told] == [503, 429, 401]
    assert [seconds for _, seconds in told] == pytest.approx([0, 2, 0], abs=1e-3)
    wire.answers = [refusal(422)]
    with pytest.raises(ClerkError):
        run(Clerk(KEY, on_retry=lambda *arguments: told.append((0, 0.0))).list_users())
    assert len(told) == 3


INSTANCE = {"object": "instance", "id": "ins_1", "environment_type": "development", "allowed_origins": None}


@pytest.mark.anyio
async def test_the_instance_of_a_key(local: LocalClerk) -> None:
    instance = await connected(local).instance()
    assert (instance.id, instance.environment_type) == (local.instance_id, "development")
    with LocalClerk(secret_key="sk_live_" + "0" * 20) as live:
        assert (await connected(live).instance()).environment_type == "production"


@pytest.mark.parametrize("call", CALLS)
def test_the_instance_is_confirmed_before_anything_else(wire: Wire, call: str) -> None:
    """One call confirms it for all calls. With a key of another instance no other call is made."""
    wire.answers = [answer(INSTANCE), answer({"id": "user_a"}), answer({"id": "user_a"})]

    async def main(instance_id: str) -> None:
        clerk = Clerk(KEY, instance_id=instance_id)
        await CALLS[call](clerk)
        await CALLS[call](clerk)

    run(main("ins_1"))
    assert [request.url.path for request in wire.requests].count("/v1/instance") == 1
    assert wire.requests[0].url.path == "/v1/instance"
    assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"

    wire.requests = []
    wire.answers = [answer(INSTANCE)]
    with pytest.raises(ClerkMisconfigured) as caught:
        run(main("ins_other"))
    assert len(wire.requests) == 1
    for part in ("CLERK_SECRET_KEY", "CLERK_INSTANCE_ID", "another Clerk instance (ins_1, development)"):
        assert part in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_wrong_instance_is_checked_with_each_call(wire: Wire) -> None:
    """A caller that ignores the first error gets it again, and no other call is sent."""
    wire.then = lambda: answer(INSTANCE)

    async def main() -> None:
        clerk = Clerk(KEY, instance_id="ins_other")
        for _ in range(2):
            with pytest.raises(ClerkMisconfigured):
                await clerk.create_user({"first_name": "Ada"})

    run(main())
    assert {request.url.path for request in wire.requests} == {"/v1/instance"}


@pytest.mark.parametrize("trouble", ["500", "unreachable", "broken", "429"])
def test_a_failed_instance_check_did_nothing(wire: Wire, trouble: str) -> None:
    """Only the check was sent."""
    wire.then = lambda: TROUBLE[trouble]
    with pytest.raises(ClerkUnavailable) as caught:
        run(Clerk(KEY, patience=1, instance_id="ins_1").ban("user_a"))
    assert not caught.value.may_be_done
    assert {request.url.path for request in wire.requests} == {"/v1/instance"}


def test_confirming_the_instance_takes_no_extra_patience(wire: Wire) -> None:
    """The call as a whole takes no longer than its patience and timeout."""
    wire.latency = 3.0
    wire.answers = [answer(INSTANCE)]
    wire.then = lambda: refusal(503)
    ended = 0.0

    async def main() -> None:
        nonlocal ended
        with pytest.raises(ClerkUnavailable):
            await Clerk(KEY, timeout=4, patience=10, instance_id="ins_1").list_users()
        ended = now()

    run(main())
    assert 9 < ended <= 14


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": 5, "environment_type": "production"},
        {"id": "ins 1\n", "environment_type": "production"},
        {"id": "i" * 101},
    ],
)
def test_an_answer_without_an_instance_is_an_error(wire: Wire, body: object) -> None:
    wire.then = lambda: answer(body)
    with pytest.raises(ClerkUnavailable, match="cannot be read"):
        run(Clerk(KEY).instance())
    with pytest.raises(ClerkUnavailable, match="cannot be read"):
        run(Clerk(KEY, instance_id="ins_1").list_users())


def test_an_instance_without_an_environment_type(wire: Wire) -> None:
    wire.then = lambda: answer({"id": "ins_1", "environment_type": SECRET})
    assert str(run(Clerk(KEY).instance())) == "ins_1, of an unknown kind"


# On real connections.


@pytest.mark.anyio
async def test_the_local_clerks_troubles_are_waited_out(
    local: LocalClerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failing, dropped and slow answers of a real server only cost time."""
    monkeypatch.setattr(module, "_BACKOFF", Backoff(first=0.001, longest=10.0))
    local.create_user()
    clerk = connected(local)
    for faults in (Faults(status=500), Faults(drop=True), Faults(status=503)):
        local.faults = replace(faults, times=3)
        assert len((await clerk.list_users()).users) == 1
        assert local.faults.times == 0
    local.faults = Faults(delay=60, times=1)
    assert len((await connected(local, timeout=1).list_users()).users) == 1


@pytest.mark.anyio
async def test_a_429_of_the_local_clerk_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process with the same key has used up the rate."""
    with LocalClerk(rate_limit=1) as local:
        await connected(local).list_users()
        with pytest.raises(ClerkUnavailable, match=r"429 \(too_many_requests\)") as caught:
            await connected(local, patience=0).list_users()
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 10
    assert caught.value.trace_id


@pytest.mark.anyio
async def test_a_wrong_key_is_reported(local: LocalClerk) -> None:
    with pytest.raises(ClerkMisconfigured) as caught:
        await Clerk("sk_test_wrong", local.url).list_users()
    assert str(caught.value) == REJECTED
    assert caught.value.code == "clerk_key_invalid"


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["sk_test_x\nInjected: header", "sk_test_x\N{SNOWMAN}", "sk_test_x\ud800"])
async def test_a_key_with_odd_characters_is_reported(local: LocalClerk, key: str) -> None:
    """A key with a line break or another invalid character is an error of the settings, and is not shown."""
    with pytest.raises(ClerkMisconfigured, match="CLERK_SECRET_KEY or CLERK_API_URL") as caught:
        await Clerk(key, local.url).list_users()
    assert "sk_test" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "http://[::", "api.clerk.com"])
async def test_a_malformed_url_is_reported(url: str) -> None:
    with pytest.raises(ClerkMisconfigured, match="CLERK_API_URL"):
        await Clerk(KEY, url).list_users()


@pytest.mark.anyio
@pytest.mark.parametrize("behaviour", [stand_in.hang, stand_in.drip_headers, stand_in.drip_body])
async def test_the_timeout_is_a_total(server: StandIn, behaviour: Behaviour) -> None:
    """An attempt ends in time even if a byte arrives every moment."""
    server.behave(then=behaviour)
    started = time.monotonic()
    with pytest.raises(ClerkUnavailable, match=r"within 0\.3 s"):
        await Clerk(KEY, server.url, timeout=0.3, patience=0).list_users()
    assert time.monotonic() - started < 30


@pytest.mark.anyio
async def test_no_answer_fills_the_memory(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    server.behave(then=stand_in.answer(200, ["x" * 100_000]))
    clerk = Clerk(KEY, server.url, patience=0)
    assert (await clerk.list_users()).users == ["x" * 100_000]
    monkeypatch.setattr(module, "_LARGEST_RESPONSE", 50_000)
    with pytest.raises(ClerkUnavailable, match="cannot be read"):
        await clerk.list_users()


@pytest.mark.anyio
async def test_a_redirect_is_not_followed(server: StandIn) -> None:
    """The key is not sent to the redirect's target."""
    with StandIn() as elsewhere:
        server.behave(then=stand_in.answer(307, b"", f"Location: {elsewhere.url}/v1/users"))
        with pytest.raises(ClerkMisconfigured, match="307, a redirect"):
            await Clerk(KEY, server.url).list_users()
        assert elsewhere.calls == []


@pytest.mark.anyio
async def test_a_user_is_not_created_twice_over_a_stale_connection(server: StandIn) -> None:
    """A request that a broken connection may have delivered is repeated only if it is idempotent."""
    clerk = Clerk(KEY, server.url)
    server.behave(stand_in.answer(200, []), stand_in.drop, then=stand_in.answer(200, {"id": "user_a"}))
    await clerk.list_users()
    with pytest.raises(ClerkUnavailable, match="connection to Clerk broke") as caught:
        await clerk.create_user({"first_name": "Ada"})
    assert caught.value.may_be_done
    assert len(server.calls) == 2
    server.behave(stand_in.drop, then=stand_in.answer(200, {"id": "user_a"}))
    assert (await clerk.ban("user_a")).user == {"id": "user_a"}
    assert len(server.calls) == 4


def test_connections_close_with_the_loop(server: StandIn) -> None:
    """No connection is open after the loop ends. The next loop opens new ones."""
    server.behave(then=stand_in.answer(200, [], f"Date: {formatdate(usegmt=True)}"))
    clerk = Clerk(KEY, server.url)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for connections in (1, 2):
            asyncio.run(clerk.list_users())
            assert server.connections == connections
        gc.collect()
    assert caught == []


@pytest.mark.anyio
async def test_closing_is_not_final(server: StandIn) -> None:
    server.behave(then=stand_in.answer(200, []))
    clerk = Clerk(KEY, server.url)
    await clerk.aclose()
    for connections in (1, 2):
        await clerk.list_users()
        await clerk.list_users()
        assert server.connections == connections
        await clerk.aclose()
