"""User management when Clerk or Convex is in trouble, when calls exceed a limit, and when callers
disconnect."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex import user_routes
from clerk_convex.admin.answers import Problem
from clerk_convex.admin.audit import AuditRow
from clerk_convex.app import create_app
from clerk_convex.clerk.api import Clerk
from clerk_convex.convex.client import Deployment, Kind
from clerk_convex.convex.writer import Writer
from clerk_convex.errors import DeploymentUnavailable
from clerk_convex.local.clerk import Faults
from clerk_convex.service import Service, Timeouts
from tests.admin.test_routes import call, error
from tests.net.test_limits import redis_server
from tests.support import stand_in
from tests.support.clerk_events import EVENTS
from tests.support.managed import NOWHERE, PREFIX, Managed
from tests.support.stand_in import DEPLOY_KEY, Behaviour, Call, StandIn
from tests.webhook.test_route import request, signed

pytestmark = pytest.mark.anyio

READS, WRITES = "CLERK_CONVEX_READ_LIMIT", "CLERK_CONVEX_WRITE_LIMIT"


# No second attempt at Clerk, and more time than anything takes. A test whose time is to run out has less.
HURRY = Timeouts(clerk_retries=0.0, clerk_call=20.0, write=20.0, audit_wait=20.0, audit=20.0)
SOON = 0.5  # seconds


@pytest.fixture(autouse=True)
def hurry(managed: Managed) -> None:
    managed.timeouts = HURRY


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.02)


# Clerk


@pytest.mark.parametrize(
    ("status", "code", "expected", "said"),
    [
        (400, "form_param_format_invalid", (400, "form_param_format_invalid"), "Its own message says why"),
        (
            402,
            "unsupported_subscription_plan_features",
            (402, "unsupported_subscription_plan_features"),
            "plan",
        ),
        (403, "user_quota_exceeded", (403, "user_quota_exceeded"), "as many users as it may"),
        (404, "resource_not_found", (404, "resource_not_found"), "no such user"),
        (409, "resource_locked", (409, "resource_locked"), "Try again in a moment"),
        (413, "request_body_too_large", (413, "request_body_too_large"), "8 KB"),
        (422, "form_identifier_exists", (422, "form_identifier_exists"), "already"),
        (401, "clerk_key_invalid", (502, "clerk_misconfigured"), "CLERK_SECRET_KEY was rejected"),
        (302, "", (502, "clerk_misconfigured"), "CLERK_API_URL"),
        (429, "too_many_requests", (503, "clerk_too_busy"), "Nothing was changed"),
        (400, "", (400, "clerk_refused"), "Its own message says why"),
        (404, "organization_not_found", (404, "organization_not_found"), "Its own message says why"),
        (403, "x" * 74 + "_2", (403, "x" * 74 + "_2"), "the instance may not do this"),
        (401, "deprovisioned", (401, "deprovisioned"), "the company's directory has removed this user"),
        (409, "user_managed_by_scim", (409, "user_managed_by_scim"), "Remove the user there"),
        (500, "internal_clerk_error", (502, "clerk_unavailable"), "may have done it"),
        (503, "internal_clerk_error", (502, "clerk_unavailable"), "status.clerk.com"),
    ],
)
async def test_clerk_refuses(
    managed: Managed, status: int, code: str, expected: tuple[int, str], said: str
) -> None:
    """The answer has the status, the code and the remedy. Convex is not changed, and the refusal is
    recorded."""
    async with managed.as_admin() as client:
        assert (await call(client, "get", managed.eve)).is_success  # it also fetches the keys
        before = managed.state()
        managed.clerk.faults = Faults(status=status, code=code, message="Clerk's own words")
        response = await call(client, "update", managed.eve)
        managed.clerk.faults = Faults()
        told = error(response)
        assert (response.status_code, told["code"]) == expected
        assert said in told["message"]
        if status < 429:
            assert told["clerk_message"].startswith("Clerk's own words")
            assert told["clerk_trace_id"]
        else:
            assert told["may_be_done"] is (status != 429)
            assert int(response.headers["retry-after"]) >= 1
    assert managed.state() == before
    last = managed.attempts()[-1]
    assert (last["outcome"], last["status"], last["reason"]) == ("failed", *expected)


async def test_clerk_down(managed: Managed) -> None:
    """If Clerk cannot be reached, or the connection breaks, it is a 502. The answer says whether Clerk may
    have done it."""
    async with managed.as_admin() as client:
        await call(client, "get", managed.eve)
        managed.clerk.faults = Faults(drop=True)
        told = error(await call(client, "update", managed.eve))
        assert (told["code"], told["may_be_done"]) == ("clerk_unavailable", True)
        told = error(await call(client, "get", managed.eve))
        assert told["code"] == "clerk_unavailable"
        assert "may_be_done" not in told
        managed.clerk.faults = Faults()
    async with managed.as_admin(CLERK_API_URL=NOWHERE) as client:
        response = await call(client, "create", "")
        told = error(response)
        assert (response.status_code, told["code"], told["may_be_done"]) == (502, "clerk_unavailable", False)
        assert "cannot be reached" in told["message"]


async def test_clerk_slow(managed: Managed) -> None:
    """If Clerk is too slow, it is a 504. Clerk did it all the same: a retry shows that, and does no harm."""
    async with managed.as_admin() as client:
        managed.timeouts = replace(HURRY, clerk_call=1.0)
        async with managed.as_admin() as hasty:
            managed.clerk.faults = Faults(delay=60.0)
            response = await call(hasty, "create", "")
        told = error(response)
        assert (response.status_code, told["code"], told["may_be_done"]) == (504, "clerk_too_slow", True)
        managed.clerk.faults = Faults()
        managed.clerk.create_user(email_address=["new@example.com"])  # Clerk did it all the same
        assert error(await call(client, "create", ""))["code"] == "form_identifier_exists"


async def test_many_calls_wait_for_clerk(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that would wait too long for its turn at Clerk is a 503 that says when to try again."""
    monkeypatch.setattr("clerk_convex.clerk.api._RATE_TEST", 4)  # one call without a wait
    monkeypatch.setattr("clerk_convex.clerk.api._RATE_WINDOW", 600.0)
    async with managed.as_admin() as client:
        assert (await call(client, "get", managed.eve)).is_success
        response = await call(client, "ban", managed.eve)
    told = error(response)
    assert (response.status_code, told["code"], told["may_be_done"]) == (503, "clerk_too_busy", False)
    assert "Too many calls wait already for Clerk" in told["message"]


# Convex


def scripted(*ends: tuple[str, Behaviour]) -> Behaviour:
    """Answer by function: use the first behaviour whose name ends the called path."""

    async def behaviour(asked: Call, writer: asyncio.StreamWriter) -> None:
        await next(end for name, end in ends if asked.path.endswith(name))(asked, writer)

    return behaviour


ALLOWED = stand_in.value({"allowed": True, "id": "attempt_1"})
RECORDED = stand_in.value(None)
WRITTEN = stand_in.sync()


def on_stand_in(managed: Managed, convex: StandIn, **more: str) -> Starlette:
    return managed.app(CONVEX_URL=convex.url, CONVEX_DEPLOY_KEY=DEPLOY_KEY, **more)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (stand_in.status(503), "Convex answered 503"),
        (stand_in.status(401), "CONVEX_DEPLOY_KEY"),
        (stand_in.drop, "broke"),
        (stand_in.failure("Could not find public function for 'users:beginAction'"), "Deploy the functions"),
        (stand_in.failure(), "Convex refused"),
        (stand_in.value(None), "another version"),
        (stand_in.value({"allowed": "perhaps"}), "another version"),
        (stand_in.value({"allowed": False}), "another version"),
    ],
)
async def test_convex_down_before(
    managed: Managed, convex: StandIn, caplog: pytest.LogCaptureFixture, behaviour: Behaviour, said: str
) -> None:
    """If Convex cannot decide whether the caller is allowed, it is a 503, and Clerk is not called, not even
    to read. Why is only in the log: the caller may be anyone."""
    caplog.set_level(logging.WARNING)
    convex.behave(then=behaviour)
    before = managed.clerk.users()
    app = on_stand_in(managed, convex)
    async with managed.client(app, managed.token(managed.ada)) as client:
        before = managed.clerk.users()
        for route in ("delete", "list"):
            response = await call(client, route, managed.eve)
            told = error(response)
            assert (response.status_code, told["code"]) == (503, "convex_unavailable")
            assert response.headers["retry-after"] == "5"
            assert told["message"] == (
                "Convex could not be asked whether you may do this, so nothing was done."
            )
    assert said in caplog.text
    assert managed.clerk.users() == before


async def test_convex_denies(managed: Managed, convex: StandIn) -> None:
    """The caller gets the reason that Convex returns."""
    convex.behave(then=stand_in.value({"allowed": False, "reason": "moon", "message": "Not today."}))
    async with managed.as_admin(on_stand_in(managed, convex)) as client:
        response = await call(client, "delete", managed.eve)
    told = error(response)
    assert (response.status_code, told["code"], told["message"]) == (403, "moon", "Not today.")
    assert convex.calls[0].body["args"] == {
        "actor": managed.ada,
        "action": "delete",
        "target": managed.eve,
        "requestId": response.headers["x-request-id"],
    }


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (stand_in.status(503), "Not written to Convex within"),
        (stand_in.status(401), "CONVEX_DEPLOY_KEY"),
        (stand_in.hang, "Not written to Convex within"),
    ],
)
async def test_convex_down_after(
    managed: Managed,
    convex: StandIn,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour,
    said: str,
) -> None:
    """If Convex goes down after Clerk did it, the answer says exactly that. The webhook brings the change."""
    caplog.set_level(logging.WARNING)
    managed.timeouts = replace(HURRY, audit=SOON)
    if said.startswith("Not written"):
        managed.timeouts = replace(managed.timeouts, write=SOON)
    convex.behave(then=scripted(("beginAction", ALLOWED), ("", behaviour)))
    app = on_stand_in(managed, convex)
    async with managed.client(app, managed.token(managed.ada)) as client:
        for route, status in (("create", 201), ("ban", 200), ("delete", 200)):
            response = await call(client, route, managed.eve)
            assert response.status_code == status
            body = response.json()
            assert body["synced"] is False
            assert "Clerk has done it" in body["message"]
            assert said in body["message"]
    assert managed.eve not in {user["id"] for user in managed.clerk.users()}
    await until(lambda: caplog.text.count("does not say how request") == 3)
    assert "eve" not in caplog.text.lower()
    assert "new@example" not in caplog.text


async def test_answer_does_not_wait_for_a_second_failure(managed: Managed, convex: StandIn) -> None:
    """A caller who learns that the change is not in Convex yet does not also wait for the audit row."""
    managed.timeouts = replace(HURRY, write=SOON, audit_wait=600.0, audit=600.0)
    convex.behave(then=scripted(("beginAction", ALLOWED), ("", stand_in.status(503))))
    async with asyncio.timeout(30), managed.as_admin(on_stand_in(managed, convex)) as client:
        assert (await call(client, "ban", managed.eve)).json()["synced"] is False


async def test_convex_comes_back(managed: Managed, convex: StandIn) -> None:
    """Short trouble of Convex is waited out: the change is written and the end is recorded."""
    troubles = [stand_in.status(503), stand_in.drop, stand_in.drop, stand_in.status(503)]
    convex.behave(ALLOWED, *troubles[:1], then=scripted(("syncUsers", WRITTEN), ("finishAction", RECORDED)))
    async with managed.as_admin(on_stand_in(managed, convex)) as client:
        assert (await call(client, "ban", managed.eve)).json()["synced"] is True
        convex.calls.clear()
        convex.behave(ALLOWED, WRITTEN, *troubles, then=RECORDED)
        assert (await call(client, "unban", managed.eve)).json()["synced"] is True
    recordings = [asked.body["args"] for asked in convex.calls if asked.path == "users:finishAction"]
    assert recordings == [{"id": "attempt_1", "outcome": "done"}] * 5  # four failures, then success


@pytest.fixture
def patience(managed: Managed) -> None:
    """Record the end of a call for as long as in production."""
    managed.timeouts = replace(HURRY, audit=600.0)


def losing_answers(monkeypatch: pytest.MonkeyPatch, function: str, times: int = 1) -> list[Any]:
    """Lose the answers of a function a number of times. Return the arguments of its calls."""
    send, sent = Deployment.send, []

    async def lossy(self: Deployment, kind: Kind, name: str, args: bytes) -> Any:
        value = await send(self, kind, name, args)
        if name.endswith(function):
            sent.append(json.loads(args))
            if len(sent) <= times:
                raise DeploymentUnavailable("The answer got lost.")
        return value

    monkeypatch.setattr(Deployment, "send", lossy)
    return sent


@pytest.mark.usefixtures("patience")
async def test_action_whose_permission_got_lost_is_closed(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convex opened a row, but its answer was lost: nothing is done at Clerk, and the row says so."""
    sent = losing_answers(monkeypatch, "beginAction", 3)
    async with managed.as_admin() as client:
        response = await call(client, "delete", managed.eve)
        assert (response.status_code, error(response)["code"]) == (503, "convex_unavailable")
        await until(lambda: managed.attempts()[-1]["outcome"] != "started")
    assert managed.eve in {user["id"] for user in managed.clerk.users()}
    (row,) = managed.attempts()
    assert (row["outcome"], row["status"], row["reason"]) == ("failed", 503.0, "convex_unavailable")
    assert sent == sent[:1] * 4  # the same request id, or there would be more rows


@pytest.mark.usefixtures("patience")
async def test_denial_whose_answer_got_lost(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is repeated under the same id, and there is one row."""
    sent = losing_answers(monkeypatch, "beginAction")
    async with managed.client(managed.app(), managed.token(managed.eve)) as client:
        assert (await call(client, "delete", managed.ada)).status_code == 503
        await until(lambda: len(sent) == 2)
    assert sent[0] == sent[1]
    (row,) = managed.attempts()
    assert (row["outcome"], row["reason"]) == ("denied", "not_admin")


async def test_connection_that_breaks_is_the_same_request(managed: Managed, convex: StandIn) -> None:
    """A call that is repeated because its connection broke keeps its id."""
    convex.behave(stand_in.drop, ALLOWED, then=RECORDED)
    async with managed.as_admin(on_stand_in(managed, convex)) as client:
        assert (await call(client, "get", managed.eve)).status_code == 200
    first, second, _ = convex.calls
    assert first.path == second.path == "users:beginAction"
    assert first.body == second.body


@pytest.mark.usefixtures("patience")
async def test_stray_refusals_do_not_end_the_recording(managed: Managed, convex: StandIn) -> None:
    """The end is sent again, whatever Convex answers."""
    strays = [stand_in.status(400, "BadJsonBody"), stand_in.status(401), stand_in.failure(), stand_in.drop]
    convex.behave(ALLOWED, WRITTEN, *strays, then=RECORDED)
    async with managed.as_admin(on_stand_in(managed, convex)) as client:
        assert (await call(client, "ban", managed.eve)).json()["synced"] is True
        await until(lambda: len(convex.calls) == 7 and convex.calls[-1].connection > 1)
    ends = convex.calls[2:]
    assert {asked.path for asked in ends} == {"users:finishAction"}
    assert all(asked.body == ends[0].body for asked in ends)


async def test_answer_does_not_wait_long_for_the_record(managed: Managed, convex: StandIn) -> None:
    """Half a second in this test, two in production. The end is recorded when Convex is back."""
    managed.timeouts = replace(HURRY, audit_wait=SOON, audit=600.0)
    convex.behave(ALLOWED, WRITTEN, *[stand_in.status(503)] * 5, then=RECORDED)
    async with managed.as_admin(on_stand_in(managed, convex)) as client:
        assert (await call(client, "ban", managed.eve)).json()["synced"] is True
        assert len(convex.calls) < 8
        await until(lambda: len(convex.calls) == 8)


async def test_stopping_service_logs_unrecorded_ends(
    convex: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """A recording ends without delay when the service stops, and its end is logged."""
    convex.behave(then=stand_in.status(503))
    row = AuditRow(Deployment(convex.url, DEPLOY_KEY), "users", "req_1", timeout=600.0)
    row.is_unclear = True
    recording = asyncio.create_task(row.finish(Problem(503, "convex_unavailable", "No.")))
    await until(lambda: len(convex.calls) > 0)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    assert "does not say how request req_1 ended (CancelledError); it was failed" in caplog.text


async def test_written_before_it_is_recorded(managed: Managed, convex: StandIn) -> None:
    """Until the change is in Convex the action is open, and counts as done for the question who is the last
    admin."""
    convex.behave(
        then=scripted(("beginAction", ALLOWED), ("syncUsers", stand_in.after(0.1, WRITTEN)), ("", RECORDED))
    )
    async with managed.as_admin(on_stand_in(managed, convex)) as client:
        await call(client, "ban", managed.eve)
    assert [asked.path.partition(":")[2] for asked in convex.calls] == [
        "beginAction",
        "syncUsers",
        "finishAction",
    ]


async def test_one_writer(managed: Managed, convex: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks and user management of one event loop write through one writer."""
    made = []
    make_writer = Service.make_writer

    def make(self: Service) -> Writer:
        made.append(make_writer(self))
        return made[-1]

    monkeypatch.setattr(Service, "make_writer", make)
    convex.behave(then=scripted(("beginAction", ALLOWED), ("syncUsers", WRITTEN), ("", RECORDED)))
    app = create_app(
        managed.settings(
            CONVEX_URL=convex.url,
            CONVEX_DEPLOY_KEY=DEPLOY_KEY,
            CLERK_WEBHOOK_SIGNING_SECRET=managed.clerk.webhook_secret,
        )
    )
    async with managed.as_admin(app) as client:
        assert (await call(client, "ban", managed.eve)).json()["synced"] is True
        headers = signed(EVENTS["user.updated"], secret=managed.clerk.webhook_secret)
        response = await request(app, EVENTS["user.updated"], headers)
        assert response.json() == {"outcome": "created"}
    assert len(made) == 1


async def test_convex_refuses_the_change(managed: Managed, caplog: pytest.LogCaptureFixture) -> None:
    """If Convex refuses the user, or the user cannot be read, the action is done at Clerk, and the answer and
    the audit row say so."""
    settings = managed.settings()

    def unknown_column(user: Any) -> Any:
        return {"noSuchColumn": 1}

    def broken(user: Any) -> Any:
        raise RuntimeError("s3cret")

    for fields, said in ((unknown_column, "Convex refused"), (broken, "RuntimeError")):
        app = Starlette(routes=[user_routes(service=Service(settings), fields=fields)])
        async with managed.as_admin(app) as client:
            body = (await call(client, "ban", managed.eve)).json()
            assert body["synced"] is False
            assert said in body["message"]
            assert "s3cret" not in body["message"]
    assert managed.clerk.get_user(managed.eve)["banned"]


# Callers who disconnect


async def test_caller_disconnects_during_the_action(managed: Managed) -> None:
    """The change is written and recorded all the same."""
    app = managed.app()
    async with managed.as_admin(app) as client:
        await call(client, "get", managed.eve)
        managed.clerk.faults = Faults(delay=60.0, times=1)
        banning = asyncio.create_task(call(client, "ban", managed.eve))
        await until(lambda: managed.clerk.faults.times == 0)
        banning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await banning
        assert not managed.clerk.get_user(managed.eve)["banned"]
        managed.clerk.faults = Faults()
        await until(lambda: managed.functions.rows()[managed.eve]["status"] == "banned")
        await until(lambda: managed.attempts()[-1]["outcome"] == "done")
    managed.assert_equal()


async def test_caller_disconnects_early(managed: Managed) -> None:
    """A caller who disconnects while sending, or before the answer, gets no answer. No error is logged."""
    app, sent = managed.app(), []
    token = managed.token(managed.ada)
    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.4"},
        "method": "PATCH",
        "path": f"{PREFIX}/{managed.eve}",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "client": None,
    }
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)
        raise OSError

    await app(scope, receive, send)
    assert not sent
    messages = [{"type": "http.request", "body": b"{", "more_body": False}]
    await app(scope, receive, send)
    assert len(sent) == 1
    await app({**scope, "headers": []}, receive, send)
    assert sent[1]["status"] == 401


# Bugs and wrong settings


async def test_unexpected(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is a 500 in the same form, recorded as failed, and logged without its text."""
    caplog.set_level(logging.WARNING)

    async def fail(*args: Any) -> Any:
        raise RuntimeError("s3cret")

    async with managed.as_admin() as client:
        monkeypatch.setattr(Clerk, "get_user", fail)
        response = await call(client, "get", managed.eve)
        assert (response.status_code, error(response)["code"]) == (500, "internal")
        assert "s3cret" not in response.text
        assert managed.attempts()[-1]["reason"] == "internal"
        monkeypatch.setattr("clerk_convex.admin.routes.read_call", fail)
        assert error(await call(client, "get", managed.eve))["code"] == "internal"
    assert "unexpected RuntimeError in fail, test_troubles.py:" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"CLERK_SECRET_KEY": "", "CLERK_JWT_ISSUER_DOMAIN": ""},
            "CLERK_SECRET_KEY, CLERK_JWT_ISSUER_DOMAIN",
        ),
        ({"CONVEX_URL": "", "CONVEX_DEPLOY_KEY": ""}, "CONVEX_URL, CONVEX_DEPLOY_KEY"),
    ],
)
async def test_settings(
    managed: Managed, caplog: pytest.LogCaptureFixture, more: dict[str, str], said: str
) -> None:
    """While the settings lack something it is a 503, and the log says once a minute what. The answer does
    not, for anyone may ask."""
    caplog.set_level(logging.WARNING)
    async with managed.as_admin(managed.app(**more)) as client:
        for _ in range(3):
            response = await call(client, "list", "")
            assert (response.status_code, error(response)["code"]) == (503, "not_set_up")
            assert error(response)["message"] == (
                "User management is not set up. The log of the service says what is missing."
            )
            assert response.headers["retry-after"] == "60"
    assert caplog.text.count(said) == 1
    assert caplog.text.count("not_set_up") == 1


async def test_keys_cannot_be_fetched(managed: Managed, caplog: pytest.LogCaptureFixture) -> None:
    """Without Clerk's public keys no caller can be authenticated: a 503 that says so."""
    async with managed.as_admin(CLERK_JWT_ISSUER_DOMAIN=NOWHERE) as client:
        response = await call(client, "list", "")
    assert (response.status_code, error(response)["code"]) == (503, "keys_unavailable")
    assert response.headers["retry-after"] == "5"
    assert not managed.attempts()


async def test_keys_rotated(managed: Managed) -> None:
    """Tokens signed with a new key are accepted immediately. While Clerk is down, known keys are used."""
    app, old = managed.app(), managed.token(managed.ada)
    async with managed.client(app, old) as client:
        managed.clerk.rotate_keys()
        assert (await call(client, "get", managed.eve)).is_success
        client.headers["Authorization"] = f"Bearer {managed.token(managed.ada)}"
        assert (await call(client, "get", managed.eve)).is_success


# Limits


async def test_limits_of_an_admin(managed: Managed) -> None:
    """Of many concurrent calls exactly the allowed number is accepted, for each admin and each kind of
    call."""
    app = managed.app(**{READS: "30/minute", WRITES: "10/minute"})
    async with managed.as_admin(app) as ada, managed.client(app, managed.token(managed.grace)) as grace:
        responses = await asyncio.gather(*(call(ada, "unlock", managed.eve) for _ in range(1000)))
        passed = [response.status_code for response in responses]
        assert (passed.count(200), passed.count(429)) == (10, 990)
        told = error(responses[-1])
        assert told["code"] == "too_many_calls"
        assert told["message"].startswith("Too many calls: 10 in a minute are allowed. Try again in ")
        assert 1 <= int(responses[-1].headers["retry-after"]) <= 61
        reads = await asyncio.gather(*(call(ada, "get", managed.eve) for _ in range(40)))
        assert [response.status_code for response in reads].count(200) == 30
        assert (await call(grace, "unlock", managed.eve)).status_code == 200
    assert len(managed.attempts()) == 41


async def test_limits_of_an_address(managed: Managed) -> None:
    """Calls without a valid token are counted by address. They do not block callers with a valid token
    there."""
    app = managed.app(CLERK_CONVEX_ADDRESS_LIMIT="5/minute")
    async with managed.client(app, "garbage") as client:
        responses = await asyncio.gather(*(call(client, "list", "") for _ in range(1000)))
        statuses = [response.status_code for response in responses]
        assert (statuses.count(401), statuses.count(429)) == (5, 995)
    async with managed.client(app, managed.token(managed.ada)) as client:
        assert (await call(client, "list", "")).status_code == 200
    async with managed.client(app, "garbage", address="192.0.2.77") as client:
        assert (await call(client, "list", "")).status_code == 401


async def test_replicas_count_together(managed: Managed, tmp_path: Path) -> None:
    """With Redis, two replicas together allow as many calls as one alone."""
    with redis_server(tmp_path) as redis:
        more = {WRITES: "10/minute", "CLERK_CONVEX_REDIS_URL": redis.url}
        token = managed.token(managed.ada)
        one, other = managed.client(managed.app(**more), token), managed.client(managed.app(**more), token)
        async with one, other:
            calls = [call(client, "unlock", managed.eve) for client in [one, other] * 100]
            statuses = [response.status_code for response in await asyncio.gather(*calls)]
    assert (statuses.count(200), statuses.count(429)) == (10, 190)


async def test_limit_comes_before_all_other_work(managed: Managed) -> None:
    """A call over the limit is not read, not sent to Convex and not recorded."""
    async with managed.as_admin(managed.app(**{WRITES: "1/minute"})) as client:
        assert (await client.patch(f"/{managed.eve}", content=b"x")).status_code == 400
        assert (await client.patch(f"/{managed.eve}", content=b"x")).status_code == 429
    assert not managed.attempts()


# The log


async def test_nothing_personal_is_logged(managed: Managed, caplog: pytest.LogCaptureFixture) -> None:
    """The log never has a name, an address, a token or a key."""
    caplog.set_level(logging.DEBUG)
    token = managed.token(managed.ada)
    async with managed.client(managed.app(), token) as client:
        await call(client, "create", "")
        await call(client, "create", "")
        await client.get("", params={"query": "eve@example.com"})
        await client.patch(f"/{managed.eve}", json={"email": "eve@example.com"})
        managed.clerk.faults = Faults(status=500, message="eve@example.com")
        await call(client, "update", managed.eve)
        managed.clerk.faults = Faults()
    text = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("uvicorn", "http"))
    )
    for private in ("example.com", "New", "Eva", token, managed.clerk.secret_key, managed.convex.deploy_key):
        assert private not in text


async def test_key_of_another_instance_reads_and_writes_nothing(managed: Managed) -> None:
    """With CLERK_INSTANCE_ID, no call reads or writes users of another instance."""
    for instance_id, status in (("ins_other", 502), (managed.clerk.instance_id, 200)):
        async with managed.as_admin(CLERK_INSTANCE_ID=instance_id) as client:
            before = managed.state()
            for response in (await client.get(""), await client.post(f"/{managed.eve}/ban")):
                assert response.status_code == status
                if status == 502:
                    assert response.json()["error"]["code"] == "clerk_misconfigured"
                    assert "CLERK_INSTANCE_ID" in response.json()["error"]["message"]
                    assert managed.state() == before
    assert managed.clerk.get_user(managed.eve)["banned"]


async def test_a_limit_of_the_host_is_the_hosts_to_answer(managed: Managed) -> None:
    """An HTTPException that it raises while the body is read comes back to it, and is no error of ours."""

    def limited(app: ASGIApp) -> ASGIApp:
        async def receive() -> Any:
            raise HTTPException(413, "too large for this host")

        async def serve(scope: Scope, _: Receive, send: Send) -> None:
            await app(scope, receive, send)

        return serve

    app = managed.app()
    app.add_middleware(limited)
    async with managed.as_admin(app) as client:
        response = await call(client, "update", managed.eve)
    assert (response.status_code, response.text) == (413, "too large for this host")
