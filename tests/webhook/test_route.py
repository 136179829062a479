from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import re
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import webhooks as standardwebhooks
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message
from svix.webhooks import Webhook

from clerk_convex import OnChange, Settings, following, webhook_route
from clerk_convex.convex.writer import Writer, WriterLimits
from clerk_convex.entities.changes import OUTCOMES, Change, Delete, Outcome, SignIn
from clerk_convex.net import logs
from clerk_convex.service import Service, Timeouts
from clerk_convex.webhook import signatures
from tests.support import stand_in, virtual_time
from tests.support.clerk_events import CREATED, EVENTS, USER, body
from tests.support.stand_in import DEPLOY_KEY, Behaviour, Call, StandIn

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PATH = "/webhooks/clerk"
LIMIT = 512 * 1024
EVENT = EVENTS["user.updated"]
NOTHING_TO_DO = EVENTS["email.created"]
APPLIED: set[Outcome] = {"created", "updated", "deleted"}


HURRY = Timeouts(write=0.3)


def settings_for(url: str = "http://127.0.0.1:9", **more: str) -> Settings:
    return Settings.from_env(
        {"CONVEX_URL": url, "CONVEX_DEPLOY_KEY": DEPLOY_KEY, "CLERK_WEBHOOK_SIGNING_SECRET": SECRET} | more
    )


def app_for(
    convex: StandIn, on_change: OnChange | None = None, *, timeouts: Timeouts | None = None, **more: str
) -> Starlette:
    service = Service(settings_for(convex.url, **more), timeouts=timeouts)
    return Starlette(routes=[webhook_route(service=service, on_change=on_change)])


def signed(
    content: bytes, *, secret: str = SECRET, svix_id: str = "msg_1", seconds: float | None = None
) -> dict[str, str]:
    at = datetime.fromtimestamp(int(time.time() if seconds is None else seconds), UTC)
    return {
        "svix-id": svix_id,
        "svix-timestamp": str(int(at.timestamp())),
        "svix-signature": Webhook(secret).sign(svix_id, at, content.decode()),
    }


async def request(
    app: ASGIApp, content: bytes | None, headers: Any = None, path: str = PATH, method: str = "POST"
) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return await client.request(method, path, content=content, headers=headers)


async def post(app: ASGIApp, content: bytes = EVENT, path: str = PATH) -> httpx.Response:
    """A webhook as Clerk sends it."""
    return await request(app, content, signed(content), path)


def clerk_id(name: str) -> bytes:
    return body("user.updated", USER | {"id": name})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other threads
            await asyncio.sleep(0.01)


# Signatures. The cases are those of the public test suites of Svix and Standard Webhooks, and more.


async def refusal_of(content: bytes, headers: Any, **more: str) -> str:
    """Return the refusal of a signed event that changes no user, or nothing if it is accepted."""
    app = Starlette(routes=[webhook_route(settings=settings_for(**more))])
    response = await request(app, content, headers)
    if response.status_code == 200:
        assert response.json() == {"outcome": "ignored"}
        return ""
    assert response.status_code == 400
    return str(response.json()["error"])


def stop_the_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Stopped:
            return cls.fromtimestamp(seconds, tz)

    monkeypatch.setattr(standardwebhooks, "datetime", Stopped)
    monkeypatch.setattr(signatures, "time", SimpleNamespace(time=lambda: seconds))


@pytest.mark.parametrize(
    "write",
    [
        lambda h: h,
        lambda h: {name.replace("svix", "webhook"): value for name, value in h.items()},
        lambda h: {name.upper(): value for name, value in h.items()},
        lambda h: {name.replace("svix-id", "webhook-id"): value for name, value in h.items()},
        lambda h: h | {"webhook-signature": "v1,wrong", "webhook-id": "msg_other"},
        lambda h: h | {"svix-timestamp": h["svix-timestamp"] + ".5"},
    ],
)
async def test_headers(write: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """The headers have Svix's names or those of Standard Webhooks, in any case; Svix's come first."""
    assert await refusal_of(NOTHING_TO_DO, write(signed(NOTHING_TO_DO))) == ""


GARBAGE = [
    "x", "v1,a", "v1", "v1,", ",", ",,", "v1,a,b", "v1,%", "v1,é", "v1,====", "v2,abc", "v1a,dGVzdA==",
    "V1,dGVzdA==",
    "v1," + "A" * 43 + "=", "v1," + "A" * 44, "v1," + "A" * 4000, "v1a," + "A" * 43 + "=", "\t", "v1,\x80",
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_several_signatures(garbage: str) -> None:
    """One right signature is enough, before or after others. Without one it is a 400."""
    headers = signed(NOTHING_TO_DO)
    right = headers["svix-signature"]
    for signature in (f"{garbage} {right}", f"{right} {garbage}", f"{garbage}  {right} {garbage}"):
        raw = headers | {"svix-signature": signature.encode("latin-1")}
        assert await refusal_of(NOTHING_TO_DO, raw) == ""
    for signature in (garbage, f"{garbage} {garbage}"):
        raw = headers | {"svix-signature": signature.encode("latin-1")}
        assert "signature" in await refusal_of(NOTHING_TO_DO, raw)


@pytest.mark.parametrize(
    "change",
    [
        {"svix-id": "msg_other"},
        {"svix-id": None},
        {"svix-id": ""},
        {"svix-id": "\xff"},
        {"svix-timestamp": None},
        *(
            {"svix-timestamp": text}
            for text in ("", "now", "nan", "inf", "-1", "0x10", "1e400", "9" * 400, "\xb2")
        ),
        {"svix-signature": None},
        {"svix-signature": ""},
        {"svix-signature": " "},
        {"svix-id": None, "svix-timestamp": None, "svix-signature": None},
    ],
)
async def test_wrong_headers(change: dict[str, str | None]) -> None:
    """A missing or malformed header is a 400."""
    headers = signed(NOTHING_TO_DO) | change
    raw = {name: value.encode("latin-1") for name, value in headers.items() if value is not None}
    assert "signature" in await refusal_of(NOTHING_TO_DO, raw)


async def test_signature_of_something_else() -> None:
    """A signature by another secret, or of another body, id, time or version, is a 400."""
    headers = signed(NOTHING_TO_DO)
    right = headers["svix-signature"]
    assert "signature" in await refusal_of(NOTHING_TO_DO, signed(NOTHING_TO_DO, secret=OTHER_SECRET))
    assert "signature" in await refusal_of(NOTHING_TO_DO + b" ", headers)
    earlier = signed(NOTHING_TO_DO, seconds=time.time() - 10) | {"svix-timestamp": headers["svix-timestamp"]}
    assert "signature" in await refusal_of(NOTHING_TO_DO, earlier)
    for signature in (right.replace("v1,", "v2,"), right[:-9], right[3:], right.replace("v1,", "v1")):
        assert "signature" in await refusal_of(NOTHING_TO_DO, headers | {"svix-signature": signature})


@pytest.mark.parametrize("content", [b"\xff\xfe", NOTHING_TO_DO + b"\x80", b"\xed\xa0\x80", b""])
async def test_body_that_is_not_text(content: bytes) -> None:
    """A body that is not UTF-8 is a 400, although svix raises another error than for a wrong signature."""
    assert "signature" in await refusal_of(content, signed(NOTHING_TO_DO))


@pytest.mark.parametrize(("offset", "accepted"), [(-299, True), (299, True), (-301, False), (301, False)])
async def test_five_minutes_either_way(monkeypatch: pytest.MonkeyPatch, offset: int, accepted: bool) -> None:
    """An event is accepted for five minutes before and after its signature, by this machine's clock."""
    stop_the_clock(monkeypatch, 1_750_000_000)
    refusal = await refusal_of(NOTHING_TO_DO, signed(NOTHING_TO_DO, seconds=1_750_000_000 + offset))
    assert (refusal == "") is accepted


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
async def test_two_secrets(secret: str) -> None:
    """While a secret is rotated, signatures by both secrets are accepted."""
    both = {"CLERK_WEBHOOK_SIGNING_SECRET": f"{SECRET},{OTHER_SECRET}"}
    assert await refusal_of(NOTHING_TO_DO, signed(NOTHING_TO_DO, secret=secret), **both) == ""
    wrong = signed(NOTHING_TO_DO, secret="whsec_dGhpcmQ=")
    assert "signature" in await refusal_of(NOTHING_TO_DO, wrong, **both)


header_values = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])) | st.sampled_from(GARBAGE)


@given(header_values, header_values | st.just(str(int(time.time()))), header_values, st.binary())
def test_any_unsigned_request_is_a_400(svix_id: str, timestamp: str, signature: str, content: bytes) -> None:
    """Whatever its headers and body are."""
    headers = {"svix-id": svix_id, "svix-timestamp": timestamp, "svix-signature": signature}
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    assert "signature" in asyncio.run(refusal_of(content, raw))


# Answers


@pytest.mark.parametrize("kind", EVENTS)
async def test_every_type_of_event(convex: StandIn, kind: str) -> None:
    """Every example event of Clerk's specification gets 200. Only those about users are sent to Convex."""
    response = await post(app_for(convex), EVENTS[kind])
    assert response.status_code == 200
    about_users = kind in {"user.created", "user.updated", "user.deleted", "session.created"}
    assert response.json() == {"outcome": "created" if about_users else "ignored"}
    assert [len(call.changes) for call in convex.mutations] == [1] * about_users


async def test_change_that_is_sent_to_convex(convex: StandIn) -> None:
    """It has the columns, the source and the id of the event, and goes to the module that is set."""
    await post(app_for(convex, CONVEX_USERS_MODULE="clerk/people"))
    (call,) = convex.mutations
    (change,) = call.changes
    assert call.path == "clerk/people:syncUsers"
    assert call.headers["authorization"] == f"Convex {DEPLOY_KEY}"
    assert (change["source"], change["eventId"]) == ("webhook", "msg_1")
    assert change["columns"]["email"] == "work@quince.example"
    assert "private" not in json.dumps(change)


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
async def test_outcomes(convex: StandIn, outcome: str) -> None:
    """Each outcome that Convex knows is a 200: stale, unchanged and tombstoned changes are done."""
    convex.behave(then=stand_in.value([outcome]))
    response = await post(app_for(convex))
    assert (response.status_code, response.json()) == (200, {"outcome": outcome})


async def test_200_only_after_the_commit(convex: StandIn) -> None:
    """The answer waits for Convex, because Svix sends an event again only without a 200."""
    committed = []

    async def commit_late(call: Call, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        committed.append(call.path)
        await stand_in.sync()(call, writer)

    convex.behave(then=commit_late)
    assert (await post(app_for(convex))).status_code == 200
    assert committed == ["users:syncUsers"]


async def test_columns_of_a_team(convex: StandIn) -> None:
    """`fields=` overrides CLERK_CONVEX_FIELDS; either adds columns."""
    settings = settings_for(convex.url, CLERK_CONVEX_FIELDS=f"{__name__}:columns_from_the_environment")
    fields = lambda user: {"from": "code"}  # noqa: E731 - it is one line
    apps = [
        webhook_route(service=Service(settings)),
        webhook_route(service=Service(settings), fields=fields),
    ]
    for app in apps:
        await post(app)
    assert [call.changes[0]["columns"]["from"] for call in convex.mutations] == ["environment", "code"]


def columns_from_the_environment(user: object) -> dict[str, str]:
    return {"from": "environment"}


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"not JSON", 400, "not JSON"),
        (b"[]", 400, "no type"),
        (body("user.updated", instance_id="ins_other"), 400, "CLERK_INSTANCE_ID"),
        (body("user.updated", USER | {"id": None}), 422, "no id"),
        (body("user.updated", USER | {"updated_at": "s3cret"}), 422, "updated_at"),
    ],
)
async def test_events_that_cannot_be_read(convex: StandIn, content: bytes, status: int, said: str) -> None:
    """A signed body that is no event of this instance gets 400, and an event of an unreadable user 422.
    Nothing is sent to Convex."""
    response = await post(app_for(convex, CLERK_INSTANCE_ID="ins_orchard"), content)
    assert response.status_code == status
    assert said in response.json()["error"]
    assert not convex.calls


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("user.deleted", {"object": "user", "deleted": True}, "no id of the deleted user"),
        ("session.created", {"user": USER | {"id": None}}, "no id of the user who signed in"),
    ],
)
async def test_events_that_can_never_be_applied(
    convex: StandIn, caplog: pytest.LogCaptureFixture, kind: str, data: Any, said: str
) -> None:
    """They get 200, or Svix would retry them for a day. The log names the event."""
    response = await post(app_for(convex), body(kind, data))
    assert (response.status_code, response.json()) == (200, {"outcome": "ignored"})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith(f"Webhook msg_1 ({kind}) is ignored: ")
    assert said in record.message
    assert not convex.calls


async def test_sign_in_of_a_partial_user(convex: StandIn) -> None:
    """It is written as a sign-in, and `on_change` gets a sign-in."""
    convex.behave(then=stand_in.value(["updated"]))
    told: list[Change] = []
    partial = USER | {"email_addresses": []}
    await post(
        app_for(convex, lambda change, outcome: told.append(change)),
        body("session.created", {"user": partial}),
    )
    assert told == [SignIn("user_quince", CREATED + 1, "webhook", "msg_1")]
    (change,) = convex.calls[0].changes
    assert (change["type"], change["lastSignInAt"]) == ("signIn", CREATED + 1)


async def test_users_that_cannot_be_read_are_named(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the Clerk id, if the event has one, and nothing else of the user."""
    for data in (
        USER | {"created_at": "s3cret"},
        USER | {"id": None},
        USER | {"id": "a\nb", "created_at": 0},
    ):
        await post(app_for(convex), body("user.updated", data | {"updated_at": None}))
    named, unnamed, odd = (record.message for record in caplog.records)
    assert named.startswith("Webhook msg_1 of 'user_quince' is answered with 422: The user's created_at")
    assert unnamed.startswith("Webhook msg_1 is answered with 422: The user has no id")
    assert odd.startswith("Webhook msg_1 of 'a\\nb' is answered with 422")
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods(method: str) -> None:
    """Any method but POST gets a 405 that says so."""
    app = Starlette(routes=[webhook_route(settings=settings_for())])
    response = await request(app, None, method=method)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", [PATH, PATH + "/", PATH + "/?source=clerk"])
async def test_slash_at_the_end(convex: StandIn, path: str) -> None:
    """The path works with and without a slash at its end, because Svix takes a redirect for a failure."""
    assert (await post(app_for(convex), path=path)).status_code == 200


@pytest.mark.parametrize("given_path", ["/hooks", "/hooks/", "/team-{team}/hooks"])
async def test_path(given_path: str) -> None:
    """The path can be set, with or without a slash at its end, and no other path answers."""
    app = Starlette(routes=[webhook_route(given_path, settings=settings_for())])
    path = given_path.format(team="a").rstrip("/")
    for sent in (path, path + "/"):
        assert (await post(app, NOTHING_TO_DO, sent)).status_code == 200
    for sent in (path + "/x", path + "x", "/", PATH):
        assert (await post(app, NOTHING_TO_DO, sent)).status_code == 404


# The body


async def drive(
    app: ASGIApp,
    messages: list[Message],
    headers: dict[str, str] | None = None,
    at_the_end: Callable[[], Awaitable[Message]] | None = None,
    send: Callable[[Message], Awaitable[None]] | None = None,
) -> tuple[list[Message], int]:
    """Send exactly these messages to an ASGI application. Return its answer and the number of messages it
    took."""
    sent: list[Message] = []
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        if taken == len(messages):
            return await (at_the_end or asyncio.Event().wait)()  # type: ignore[return-value]
        taken += 1
        return messages[taken - 1]

    async def keep(message: Message) -> None:
        sent.append(message)
        if send is not None:
            await send(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": raw}
    await app(scope, receive, keep)
    return sent, taken


def chunk(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


@pytest.mark.parametrize(
    ("length", "read"),
    [(None, 9), ("10", 9), ("x", 9), ("524288", 9), ("524289", 0), (str(10**9), 0), ("9" * 5000, 0)],
)
async def test_body_over_the_limit(length: str | None, read: int) -> None:
    """A body whose Content-Length is over 512 KiB is not read. Any other is refused at that size."""
    app = Starlette(routes=[webhook_route(settings=settings_for())])
    headers = signed(EVENT) | ({} if length is None else {"content-length": length})
    sent, taken = await drive(app, [chunk(b" " * 65536, more=True)] * 100, headers)
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]
    assert "bytes" in json.loads(sent[1]["body"])["error"]
    assert taken == read


def test_slow_body() -> None:
    """A body that arrives slowly is read for ten seconds at most."""
    app = Starlette(routes=[webhook_route(settings=settings_for())])

    async def drip() -> Message:
        await asyncio.sleep(1)
        return chunk(b" ", more=True)

    async def main() -> float:
        sent, _ = await drive(app, [], signed(EVENT), at_the_end=drip)
        assert sent[0]["status"] == 408
        assert "middleware" in json.loads(sent[1]["body"])["error"]
        assert (b"connection", b"close") in sent[0]["headers"]
        return virtual_time.now()

    assert virtual_time.run(main()) == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)])
async def test_body_at_the_limit(size: int, status: int) -> None:
    """512 KiB are accepted, one byte more is not."""
    app = Starlette(routes=[webhook_route(settings=settings_for())])
    content = NOTHING_TO_DO.ljust(size)
    assert (await post(app, content)).status_code == status
    half = [chunk(content[:1000], more=True), chunk(content[1000:])]
    sent, _ = await drive(app, half, signed(content))
    assert sent[0]["status"] == status


# Trouble

DOWN = "down"
TROUBLE: dict[str, Behaviour | str] = {
    "down": DOWN,
    "hung": stand_in.hang,
    "slow": stand_in.after(1, stand_in.sync()),
    "dropping": stand_in.drop,
    "dripping headers": stand_in.drip_headers,
    "dripping body": stand_in.drip_body,
    "garbage": stand_in.answer(200, b"<html>"),
    "redirecting": stand_in.answer(301, b"", "Location: http://127.0.0.1:9/"),
    "429": stand_in.status(429, "TooManyConcurrentRequests"),
    "503": stand_in.status(503, "OptimisticConcurrencyControlFailure"),
    "500": stand_in.status(500),
    "401": stand_in.status(401, "BadDeployKey"),
    "403": stand_in.status(403, "Unauthorized"),
    "404": stand_in.status(404, "NotFound"),
    "no functions": stand_in.failure("Could not find public function for 'users:syncUsers'."),
    "older functions": stand_in.failure(
        "ArgumentValidationError: Object contains extra field `s3cret`", code=560
    ),
    "too few outcomes": stand_in.value([]),
    "other outcomes": stand_in.value(["done"]),
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_trouble(convex: StandIn, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """After any error of Convex, Svix gets an answer that makes it retry, the reason is logged, and the next
    event succeeds."""
    caplog.set_level(logging.DEBUG, "clerk_convex")
    behaviour = TROUBLE[name]
    app = app_for(convex, timeouts=HURRY)
    if isinstance(behaviour, str):
        convex.stop()
    else:
        convex.behave(then=behaviour)
    response = await post(app)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.json()["error"].endswith((".", "?"))
    assert [record.levelno >= logging.WARNING for record in caplog.records] == [True]

    convex.behave(then=stand_in.sync())
    if isinstance(behaviour, str):
        convex.start()
    async with asyncio.timeout(60):
        while (response := await post(app)).status_code == 503:
            pass
    assert response.json() == {"outcome": "created"}


async def test_refused_change(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """A change that Convex refuses gets a 502. The other changes of its batch are written."""
    refuse = lambda change: change["clerkId"] == "user_bad"  # noqa: E731 - it is one line
    convex.behave(then=stand_in.sync(refuse=refuse))
    app = app_for(convex)
    names = ["user_bad" if number == 5 else f"user_{number}" for number in range(10)]
    responses = await asyncio.gather(*(post(app, clerk_id(name)) for name in names))
    assert [response.status_code for response in responses] == [200] * 5 + [502] + [200] * 4
    (record,) = caplog.records
    assert "msg_1" in record.message
    assert record.message.startswith("Webhook msg_1 of 'user_bad' is answered with 502: ")


def columns_that_convex_refuses(user: object) -> Any:
    return {"tags": {"é": 1.0}}


async def test_column_that_convex_cannot_hold(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """A team's column that cannot be encoded gives its event a 502 with the column's name, and is not
    sent."""
    settings = settings_for(convex.url, CLERK_CONVEX_FIELDS=f"{__name__}:columns_that_convex_refuses")
    route = webhook_route(settings=settings, fields=columns_that_convex_refuses)
    response = await post(Starlette(routes=[route]))
    assert response.status_code == 502
    assert "CLERK_CONVEX_FIELDS returns 'tags'" in response.json()["error"]
    (record,) = caplog.records
    assert record.message.startswith(
        "Webhook msg_1 of 'user_quince' is answered with 502: CLERK_CONVEX_FIELDS"
    )
    assert not convex.calls


async def test_queue_is_full(convex: StandIn) -> None:
    """An event beyond the size of the queue gets a 503 without waiting, so that memory is bounded."""

    class SmallQueue(Service):
        def make_writer(self) -> Writer:
            return Writer(self.make_deployment(), limits=WriterLimits(queue_size=3, deadline=2.0))

    convex.behave(then=stand_in.hang)
    app = Starlette(routes=[webhook_route(service=SmallQueue(settings_for(convex.url)))])
    responses = await asyncio.gather(*(post(app) for _ in range(5)))
    assert sorted("changes wait" in response.text for response in responses) == [False] * 3 + [True] * 2
    assert {response.status_code for response in responses} == {503}
    assert {response.headers["retry-after"] for response in responses} == {"5"}


async def test_other_routes_answer_while_convex_hangs(convex: StandIn) -> None:
    """While Convex hangs and events wait for it, the service's other routes answer."""
    convex.behave(then=stand_in.hang)
    app = app_for(convex)
    app.router.routes.append(Route("/other", lambda request: JSONResponse({})))
    waiting = [asyncio.create_task(post(app)) for _ in range(50)]
    await until(lambda: bool(convex.calls))
    assert (await request(app, None, path="/other", method="GET")).status_code == 200
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_missing_settings(
    convex: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Settings are read with the first event. Until they are valid it is a 503, and the log says once a
    minute which setting is missing. The answer does not, because anyone may send a request."""
    names = "CLERK_WEBHOOK_SIGNING_SECRET", "CONVEX_URL", "CONVEX_DEPLOY_KEY"
    for name in names:
        monkeypatch.delenv(name, raising=False)
    app = Starlette(routes=[webhook_route()])
    for interval in (60.0, 60.0, 0.0):
        monkeypatch.setattr(logs, "_INTERVAL", interval)
        response = await post(app)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert response.json() == {
            "error": "The service is not set up. Its log says what is missing or malformed."
        }
    assert len(caplog.records) == 2
    assert all(name in caplog.records[0].message for name in names)

    for name, value in zip(names, (SECRET, convex.url, DEPLOY_KEY), strict=True):
        monkeypatch.setenv(name, value)
    assert (await post(app)).json() == {"outcome": "created"}


async def test_each_cause_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """So garbage from strangers does not hide the reason why Clerk's events are refused."""
    app = Starlette(routes=[webhook_route(settings=settings_for())])
    for _ in range(2):
        await request(app, EVENT)
        await request(app, EVENT + b" ", signed(EVENT))
        await request(app, EVENT, signed(EVENT, seconds=time.time() - 720))
    assert [
        re.search(r"no svix-id|two causes|12 minutes behind", text) is not None for text in caplog.messages
    ] == [True] * 3


@pytest.mark.parametrize("kind", [RuntimeError, TimeoutError])
async def test_unexpected_error(
    convex: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[Exception],
) -> None:
    """It is a 503, and the log has the place of the error without its text."""

    async def submit(self: Writer, change: Change, hold: object) -> Outcome:
        raise kind("s3cret")

    monkeypatch.setattr(Writer, "submit", submit)
    response = await post(app_for(convex))
    assert (response.status_code, "retry-after" in response.headers) == (503, True)
    assert "s3cret" not in response.text
    (record,) = caplog.records
    assert re.search(rf"{kind.__name__} in submit, test_route\.py:\d+", record.message)
    assert "s3cret" not in caplog.text


async def test_logs_and_answers_have_no_personal_data(
    convex: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """No log line and no answer has a secret, an address or a refused value."""
    caplog.set_level(logging.DEBUG)
    app = app_for(convex, timeouts=HURRY)
    user = USER | {"first_name": "s3cret", "public_metadata": {"role": "s3cret"}}
    quoting = 'Value "s3cret work@quince.example" at .changes[0] does not match'
    behaviours = [behaviour for behaviour in TROUBLE.values() if not isinstance(behaviour, str)]
    responses = []
    for behaviour in [*behaviours, stand_in.failure(quoting), stand_in.answer(400, quoting)]:
        convex.behave(then=behaviour)
        responses.append(await post(app, body("user.updated", user)))
    responses += [
        await post(app, b"s3cret"),
        await post(app, body("user.updated", user | {"id": None})),
        await post(app, body("user.updated", ["s3cret"])),
        await request(app, EVENT, signed(EVENT) | {"svix-signature": "s3cret"}),
    ]
    texts = [response.text for response in responses]
    everything = "\n".join([*texts, caplog.text])
    for told in ("s3cret", SECRET[6:], DEPLOY_KEY, DEPLOY_KEY.partition("|")[2], "@", "Quitterie", "+3360"):
        assert told not in everything


# Clients that disconnect


async def gone() -> Message:
    return {"type": "http.disconnect"}


async def test_client_disconnects_while_it_sends(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """It is no error, and the incomplete event is dropped."""
    sent, _ = await drive(app_for(convex), [chunk(EVENT, more=True)], signed(EVENT), at_the_end=gone)
    assert sent == []
    assert not convex.calls
    assert not caplog.records


@pytest.mark.parametrize("leave", ["before it is listened for", "disconnect", "cancel"])
async def test_client_disconnects_while_it_waits(
    convex: StandIn, caplog: pytest.LogCaptureFixture, leave: str
) -> None:
    """The change is withdrawn if it was not sent, because Svix counts the attempt as failed."""

    class OneAtATime(Service):
        def make_writer(self) -> Writer:
            return Writer(self.make_deployment(), limits=WriterLimits(in_flight=1))

    release = threading.Event()

    async def hold(call: Call, writer: asyncio.StreamWriter) -> None:
        await until(release.is_set)
        await stand_in.sync()(call, writer)

    convex.behave(then=hold)
    service = OneAtATime(settings_for(convex.url), timeouts=Timeouts(disconnect_check=0.05))
    app = Starlette(routes=[webhook_route(service=service)])
    first = asyncio.create_task(post(app, clerk_id("user_first")))
    await until(lambda: bool(convex.calls))

    left, listened_for = asyncio.Event(), asyncio.Event()

    async def until_left() -> Message:
        listened_for.set()
        await left.wait()
        return await gone()

    content = clerk_id("user_second")
    second = asyncio.create_task(drive(app, [chunk(content)], signed(content), at_the_end=until_left))
    await until(lambda: queued(service) == 1)
    if leave != "before it is listened for":
        await listened_for.wait()
    if leave != "cancel":
        left.set()
        assert await second == ([], 1)
    else:
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
    await until(lambda: queued(service) == 0)
    release.set()
    assert (await first).status_code == 200
    assert (await post(app, clerk_id("user_third"))).status_code == 200
    assert [change["clerkId"] for call in convex.mutations for change in call.changes] == [
        "user_first",
        "user_third",
    ]
    assert not caplog.records


def queued(service: Service) -> int:
    status = service.writer_status
    return 0 if status is None else status.queued


AT_ONCE = Timeouts(disconnect_check=0.0)


async def test_server_that_sends_more_after_the_body(convex: StandIn) -> None:
    """Some servers repeat the end of the body. Only `http.disconnect` means that the client is gone."""
    listened_for = threading.Event()

    async def end_again() -> Message:
        listened_for.set()
        return chunk(b"")

    async def answer(call: Call, writer: asyncio.StreamWriter) -> None:
        await until(listened_for.is_set)
        await asyncio.sleep(0.05)
        await stand_in.sync()(call, writer)

    convex.behave(then=answer)
    app = app_for(convex, timeouts=AT_ONCE)
    sent, _ = await drive(app, [chunk(EVENT)], signed(EVENT), at_the_end=end_again)
    assert sent[0]["status"] == 200


async def test_the_watch_for_a_disconnect_ends_with_the_answer(convex: StandIn) -> None:
    """A listener that was started ends with the answer."""
    listened_for = threading.Event()

    async def listen() -> Message:
        listened_for.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def answer(call: Call, writer: asyncio.StreamWriter) -> None:
        await until(listened_for.is_set)
        await stand_in.sync()(call, writer)

    convex.behave(then=answer)
    app = app_for(convex, timeouts=AT_ONCE)
    sent, _ = await drive(app, [chunk(EVENT)], signed(EVENT), at_the_end=listen)
    assert sent[0]["status"] == 200
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "_withdraw_on_disconnect" in repr(task)]


async def test_a_quick_answer_needs_no_watch_for_a_disconnect(
    convex: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch is a task, which most events do not need."""
    loop = asyncio.get_running_loop()
    due: list[tuple[Any, ...]] = []

    def call_later(
        delay: float, *what: Any, later: Any = loop.call_later, **more: Any
    ) -> asyncio.TimerHandle:
        if delay == 61.5:
            due.append(what)
        timer: asyncio.TimerHandle = later(delay, *what, **more)
        return timer

    monkeypatch.setattr(loop, "call_later", call_later)
    app = app_for(convex, timeouts=Timeouts(disconnect_check=61.5))
    assert (await post(app)).status_code == 200
    tasks = asyncio.all_tasks()
    for ring, moment in due:
        ring(moment)
    assert len(due) == 1
    assert asyncio.all_tasks() == tasks


async def test_client_disconnects_before_the_answer(
    convex: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no error that the answer cannot be sent, and on_change is called for an applied change."""
    told: list[Outcome] = []

    async def send(message: Message) -> None:
        raise OSError

    app = app_for(convex, lambda change, outcome: told.append(outcome))
    await drive(app, [chunk(EVENT)], signed(EVENT), send=send)
    assert told == ["created"]
    assert not caplog.records


# on_change


class AsyncCallable:
    def __init__(self, function: OnChange) -> None:
        self.function = function

    async def __call__(self, change: Change, outcome: Outcome) -> None:
        self.function(change, outcome)


def asynchronous(function: OnChange) -> OnChange:
    async def on_change(change: Change, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        function(change, outcome)

    return on_change


KINDS_OF_FUNCTIONS: dict[str, Callable[[OnChange], OnChange]] = {
    "function": lambda function: function,
    "async function": asynchronous,
    "function that returns an awaitable": lambda function: lambda c, o: asynchronous(function)(c, o),
    "object with an async call": AsyncCallable,
    "partial": lambda function: functools.partial(asynchronous(function)),
}


@pytest.mark.parametrize("kind", KINDS_OF_FUNCTIONS)
async def test_on_change(convex: StandIn, kind: str) -> None:
    """Any kind of function is called once with the change and its outcome."""
    told: list[tuple[Change, Outcome]] = []
    await post(app_for(convex, KINDS_OF_FUNCTIONS[kind](lambda *what: told.append(what))))
    ((change, outcome),) = told
    assert (change.clerk_id, outcome) == ("user_quince", "created")


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
async def test_on_change_is_called_for_applied_changes(convex: StandIn, outcome: Outcome) -> None:
    """It is called for created, updated and deleted, and for no other outcome."""
    told: list[Outcome] = []
    convex.behave(then=stand_in.value([outcome]))
    await post(app_for(convex, lambda change, outcome: told.append(outcome)))
    assert told == [outcome] * (outcome in APPLIED)


async def test_on_change_is_not_called_for_failures(convex: StandIn) -> None:
    """It is not called for a change that was refused, not written or ignored."""
    told: list[Outcome] = []
    app = app_for(convex, lambda change, outcome: told.append(outcome), timeouts=HURRY)
    await post(app, NOTHING_TO_DO)
    for behaviour in (stand_in.failure(), stand_in.status(503)):
        convex.behave(then=behaviour)
        assert (await post(app)).status_code in {502, 503}
    assert told == []


async def test_on_change_comes_after_the_answer(convex: StandIn) -> None:
    """The answer is sent before the call, so that it cannot be delayed or changed."""
    steps: list[str] = []

    async def send(message: Message) -> None:
        steps.append(message["type"])

    async def on_change(change: Change, outcome: Outcome) -> None:
        steps.append("on_change")

    await drive(app_for(convex, on_change), [chunk(EVENT)], signed(EVENT), send=send)
    assert steps == ["http.response.start", "http.response.body", "on_change"]


@pytest.mark.parametrize("kind", KINDS_OF_FUNCTIONS)
async def test_on_change_that_fails(convex: StandIn, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged with its place and without its text. The answer does not change."""

    def on_change(change: Change, outcome: Outcome) -> None:
        raise KeyError(change)

    response = await post(app_for(convex, KINDS_OF_FUNCTIONS[kind](on_change)))
    assert (response.status_code, response.json()) == (200, {"outcome": "created"})
    (record,) = caplog.records
    assert re.search(r"KeyError in on_change, test_route\.py:\d+", record.message)
    assert "quince" not in caplog.text


@pytest.mark.parametrize("kind", ["function", "async function"])
async def test_on_change_that_takes_too_long(
    convex: StandIn, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is cancelled after its limit, and the log says so."""
    release = threading.Event()

    async def wait(change: Change, outcome: Outcome) -> None:
        await asyncio.Event().wait()

    on_change = wait if kind == "async function" else lambda change, outcome: release.wait(10)
    app = app_for(convex, on_change, timeouts=Timeouts(on_change=0.05))
    assert (await post(app)).status_code == 200
    release.set()
    (record,) = caplog.records
    assert "TimeoutError" in record.message


def test_on_change_has_five_seconds() -> None:
    async def wait(change: Change, outcome: Outcome) -> None:
        await asyncio.Event().wait()

    async def main() -> float:
        await webhook_route(settings=settings_for()).receiver._call_on_change(
            wait, Delete("user_1", 0.0, "webhook"), "deleted"
        )
        return virtual_time.now()

    assert virtual_time.run(main()) == pytest.approx(5, abs=0.1)


# Where it is mounted


async def test_mounted_in_starlette_without_lifespan(convex: StandIn) -> None:
    """The route works in an app mounted in another one, whose lifespan is never run."""

    def never(app: Starlette) -> Any:
        raise AssertionError("the lifespan of a mounted app ran")

    inner = Starlette(routes=[webhook_route(settings=settings_for(convex.url))], lifespan=never)
    outer = Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/b", inner)]))])
    for path in ("/a/b" + PATH, "/a/b" + PATH + "/"):
        assert (await post(outer, path=path)).json() == {"outcome": "created"}


async def test_in_fastapi(convex: StandIn) -> None:
    """The route works beside FastAPI's own routes, and is not in the OpenAPI schema."""
    app = FastAPI(routes=[webhook_route(settings=settings_for(convex.url))])

    @app.get("/other")
    def other() -> dict[str, str]:
        return {}

    for path in (PATH, PATH + "/"):
        assert (await post(app, path=path)).json() == {"outcome": "created"}
    assert (await request(app, None, path="/other", method="GET")).status_code == 200
    assert list(app.openapi()["paths"]) == ["/other"]


async def test_one_writer(convex: StandIn) -> None:
    """All events of one event loop use one writer, so that they are sent together."""
    made = []

    class Counted(Service):
        def make_writer(self) -> Writer:
            made.append(super().make_writer())
            return made[-1]

    convex.behave(then=stand_in.after(0.05, stand_in.sync()))
    app = Starlette(routes=[webhook_route(service=Counted(settings_for(convex.url)))])
    responses = await asyncio.gather(*(post(app, clerk_id(f"user_{number}")) for number in range(100)))
    assert {response.status_code for response in responses} == {200}
    assert len(made) == 1
    assert len(convex.mutations) < 50


def test_loops_that_come_and_go(convex: StandIn) -> None:
    """Each event loop gets a writer of its own, and the writers of closed loops are released."""
    made = []

    class Watched(Service):
        def make_writer(self) -> Writer:
            made.append(weakref.ref(writer := super().make_writer()))
            return writer

    route = webhook_route(service=Watched(settings_for(convex.url)))
    app = Starlette(routes=[route])
    for _ in range(5):
        assert asyncio.run(post(app)).json() == {"outcome": "created"}
    gc.collect()
    assert [ref() is None for ref in made] == [True] * 4 + [False]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del app, route
        gc.collect()
    assert not [warning for warning in caught if "unclosed" in str(warning.message)]


def test_test_client_in_several_threads(convex: StandIn) -> None:
    """Starlette's TestClient can be used from several threads at once, each with an event loop of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning about the client library
        from starlette.testclient import TestClient
    app = app_for(convex)

    def send(number: int) -> list[int]:
        content = clerk_id(f"user_{number}")
        client = TestClient(app)
        return [client.post(PATH, content=content, headers=signed(content)).status_code for _ in range(3)]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(send, range(8))) == [[200] * 3] * 8


FORK = """
import asyncio, os, sys
from starlette.applications import Starlette
from clerk_convex import webhook_route
from tests.webhook.test_route import post, settings_for

app = Starlette(routes=[webhook_route(settings=settings_for(sys.argv[1]))])
loop = asyncio.new_event_loop()

def status():
    return loop.run_until_complete(post(app)).status_code

assert status() == 200
child = os.fork()
if child == 0:
    os._exit(0 if status() == 200 else 1)
assert os.waitpid(child, 0)[1] == 0
assert status() == 200
"""


def test_after_fork(convex: StandIn) -> None:
    """A forked child makes its own writer and connection, even on its parent's loop. The parent's still
    work."""
    subprocess.run([sys.executable, "-c", FORK, convex.url], check=True, timeout=60)
    assert [call.connection for call in convex.mutations] == [1, 2, 1]


async def test_time_of_the_last_event(convex: StandIn) -> None:
    """It is the time of the last signed event of any type."""
    route = webhook_route(settings=settings_for(convex.url))
    app = Starlette(routes=[route])
    await request(app, NOTHING_TO_DO, signed(NOTHING_TO_DO) | {"svix-id": "msg_other"})
    assert not route.receiver.service.last_event_at
    before = time.time()
    await post(app, NOTHING_TO_DO)
    assert route.receiver.service.last_event_at is not None
    assert before <= route.receiver.service.last_event_at <= time.time()


# The ledger of refused changes


@pytest.mark.parametrize(
    ("content", "status"),
    [(NOTHING_TO_DO, 200), (body("user.updated", {"id": "user_1"}), 422), (EVENT, 503)],
)
async def test_the_first_verified_request_starts_what_runs_in_the_background(
    monkeypatch: pytest.MonkeyPatch, content: bytes, status: int
) -> None:
    """The follower and the check of the functions, whatever the answer is. An unsigned request does not."""
    started: list[str] = []

    async def follow(service: Service, every: float) -> None:
        started.append("follower")

    monkeypatch.setattr(following, "_follow", follow)
    service = Service(settings_for(CLERK_CONVEX_FOLLOW="60"), timeouts=Timeouts(write=0.05))
    monkeypatch.setattr(service.functions, "start", lambda: started.append("check"))
    app = Starlette(routes=[webhook_route(service=service)])
    assert (await request(app, content, signed(content, secret=OTHER_SECRET))).status_code == 400
    await asyncio.sleep(0)
    assert started == []
    for _ in range(2):  # the second one starts no second follower
        assert (await post(app, content)).status_code == status
    await asyncio.sleep(0)
    assert sorted(started) == ["check", "check", "follower"]


async def test_a_refused_change_is_recorded_in_the_background(convex: StandIn) -> None:
    """What Convex or the mapper refused, with the event's id and no value. The answer does not wait."""
    bad = stand_in.sync(refuse=lambda change: change["clerkId"] == "user_refused")
    convex.behave(then=bad)
    app = app_for(convex, timeouts=Timeouts(ledger=0.0))
    unreadable = body("user.updated", {"id": "user_unreadable", "first_name": "Secret"})
    statuses = [(await post(app, content)).status_code for content in (clerk_id("user_refused"), unreadable)]
    assert statuses == [502, 422]
    await until(lambda: len(_recorded(convex)) == 2)
    refused, unread = sorted(_recorded(convex), key=lambda it: str(it["clerkId"]))
    assert (refused["clerkId"], unread["clerkId"]) == ("user_refused", "user_unreadable")
    assert {it["eventId"] for it in (refused, unread)} == {"msg_1"}
    assert {it["source"] for it in (refused, unread)} == {"webhook"}
    assert refused["observedAt"] == unread["observedAt"] > 0
    assert "created_at or updated_at" in unread["reason"]
    assert "Secret" not in str(unread)


async def test_a_forged_event_is_not_recorded(convex: StandIn) -> None:
    app = app_for(convex, timeouts=Timeouts(ledger=0.0))
    unreadable = body("user.updated", {"id": "user_unreadable"})
    for headers in ({}, signed(unreadable, secret=OTHER_SECRET), signed(EVENT)):
        assert (await request(app, unreadable, headers)).status_code == 400
    anonymous = body("user.updated", {"first_name": "Ada"})
    assert (await post(app, anonymous)).status_code == 422
    await asyncio.sleep(0.05)
    assert _recorded(convex) == []


def _recorded(convex: StandIn) -> list[dict[str, Any]]:
    calls = [call.body["args"] for call in convex.calls if call.body["path"] == "users:recordRefusals"]
    return [refusal for arguments in calls for refusal in arguments["refusals"]]
