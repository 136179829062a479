"""The requests of user management: which ones are accepted, and the answers to all others."""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from clerk_convex.admin.actions import ACTIONS, find_action
from clerk_convex.admin.answers import Problem, answer, clerk_problem, user_of
from clerk_convex.admin.requests import Call, read_call
from clerk_convex.clerk.api import Clerk, Snapshot
from clerk_convex.errors import ClerkUnavailable
from tests.support import virtual_time
from tests.support.managed import Managed


def ask(
    method: str, path: str = "", body: Any = None, *, raw: bytes | None = None, query: bytes = b""
) -> Call:
    """Return the call; raises Problem."""
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return messages.pop(0)

    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": []}

    async def main() -> Any:
        action, target = find_action(method, path)
        return await read_call(Request(scope, receive), action, target)

    call: Call = virtual_time.run(main())
    return call


def refused(*args: Any, status: int = 422, **more: Any) -> dict[str, str]:
    """Return the wrong fields with their reasons."""
    with pytest.raises(Problem) as caught:
        ask(*args, **more)
    assert caught.value.status == status
    # The rest of a refused body is not read, so no other request can follow on this connection.
    assert (caught.value.headers.get("Connection") == "close") is (status in {408, 413})
    return {it["field"]: it["message"] for it in caught.value.error.get("errors", [])}


NEW = {"username": "ada"}


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "said"),
    [
        ("POST", "", {}, "body", "needs an email_address, a phone_number or a username"),
        ("POST", "", [], "body", "valid dictionary"),
        ("POST", "", None, "", ""),
        ("POST", "", NEW | {"password": "s3cret"}, "password", "not permitted"),
        ("POST", "", NEW | {"private_metadata": {}}, "private_metadata", "not permitted"),
        ("POST", "", NEW | {"x" * 500: 1}, "x" * 100, "not permitted"),
        ("POST", "", NEW | {"\ud800": 1}, "body", "valid string"),
        ("POST", "", {"username": ""}, "username", "at least 1"),
        ("POST", "", {"username": " "}, "username", "at least 1"),
        ("POST", "", {"username": "a" * 65}, "username", "at most 64"),
        ("POST", "", {"username": 7}, "username", "valid string"),
        ("POST", "", {"email_address": "ada"}, "email_address", "is not an email address"),
        ("POST", "", {"email_address": "a@b c"}, "email_address", "is not an email address"),
        ("POST", "", {"email_address": ["a@b.c"]}, "email_address", "valid string"),
        ("POST", "", {"email_address": "a@" + "b" * 300}, "email_address", "at most 254"),
        ("POST", "", {"phone_number": "555"}, "phone_number", "write it as +15551234567"),
        ("POST", "", NEW | {"first_name": "a" * 256}, "first_name", "at most 255"),
        ("POST", "", NEW | {"first_name": "a\nb"}, "first_name", "must not have control characters"),
        ("POST", "", NEW | {"first_name": "\ud800"}, "first_name", "valid string"),
        ("POST", "", NEW | {"public_metadata": []}, "public_metadata", "valid dictionary"),
        ("POST", "", NEW | {"public_metadata": {"a": "x" * 9000}}, "public_metadata", "over 8192 bytes"),
        ("PATCH", "/user_1", {}, "body", "has no field to change"),
        ("PATCH", "/user_1", {"public_metadata": {}}, "public_metadata", "not permitted"),
        ("PATCH", "/user_1", {"email_address": "a@b.c"}, "email_address", "not permitted"),
        ("PATCH", "/user_1", {"first_name": ""}, "first_name", "at least 1"),
        ("PATCH", "/user_1/metadata", {}, "public_metadata", "required"),
        ("PATCH", "/user_1/metadata", {"public_metadata": {}}, "public_metadata", "at least 1"),
        ("PATCH", "/user_1/metadata", {"public_metadata": None}, "public_metadata", "valid dictionary"),
        ("PATCH", "/user_1/metadata", {"unsafe_metadata": {}}, "unsafe_metadata", "not permitted"),
        ("POST", "/user_1/ban", {"reason": "x"}, "reason", "not permitted"),
        ("POST", "/user_1/ban", 7, "body", "valid dictionary"),
        ("DELETE", "/user_1", {"force": True}, "force", "not permitted"),
        ("POST", "/user_1/sessions/revoke", {"session_id": "sess_"}, "session_id", "write sess_…"),
        ("POST", "/invitations/revoke", {"invitation_id": "inv_1\n"}, "invitation_id", "write inv_…"),
        ("DELETE", "/..", None, "user_id", "is not a user's id; write user_…"),
        ("GET", "/user_", None, "user_id", "is not a user's id"),
        ("GET", "/user_é", None, "user_id", "is not a user's id"),
        ("GET", "/user_1\n", None, "user_id", "is not a user's id"),
        ("GET", "/user_" + "a" * 65, None, "user_id", "is not a user's id"),
    ],
)
def test_refused(method: str, path: str, body: Any, field: str, said: str) -> None:
    """The answer names each wrong field with the reason, and without its value."""
    if body is None and method == "POST":
        assert refused(method, path, body, status=400) == {}
        return
    errors = refused(method, path, body)
    assert said in errors[field]
    assert "s3cret" not in str(errors)


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        (b"limit=0", "limit", "greater than or equal to 1"),
        (b"limit=101", "limit", "less than or equal to 100"),
        (b"limit=x", "limit", "valid integer"),
        (b"limit=1&limit=2", "limit", "more than once"),
        (b"offset=-1", "offset", "greater than or equal to 0"),
        (b"offset=1e9", "offset", "valid integer"),
        (b"order_by=password", "order_by", "is not an order"),
        (b"order_by=--created_at", "order_by", "is not an order"),
        (b"banned=perhaps", "banned", "valid boolean"),
        (b"query=" + b"a" * 201, "query", "at most 200"),
        (b"query=%00", "query", "control characters"),
        (b"starting_after=user_1", "starting_after", "not permitted"),
    ],
)
def test_refused_queries(query: bytes, field: str, said: str) -> None:
    """The same for the query string."""
    assert said in refused("GET", "", query=query)[field]


def test_all_wrong_fields_are_named() -> None:
    """Twenty at most."""
    errors = refused("POST", "", {"first_name": 1, "last_name": 2, "age": 3})
    assert errors.keys() == {"first_name", "last_name", "age"}
    assert len(refused("POST", "", {f"x{number}": 1 for number in range(500)})) == 20
    assert refused("GET", "/user_1", query=b"expand=1").keys() == {"expand"}


@pytest.mark.parametrize(
    "raw",
    [
        b"x",
        b"{",
        b"\xff",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":1e-9999999999999999999}',
        b"[" * 20_000,
        b"1" * 5000,
        "{}".encode("utf-16"),
    ],
)
def test_not_json(raw: bytes) -> None:
    """A body that is not JSON, or that Python cannot hold, gets a 400."""
    assert refused("PATCH", "/user_1", raw=raw, status=400) == {}


def test_size_and_depth() -> None:
    """A body of over 32 KiB is not read to its end. Metadata has a limit on its depth."""
    assert refused("PATCH", "/user_1", raw=b" " * 32_769, status=413) == {}
    deep: Any = {}
    for number in range(31):
        deep = {"x": [deep]} if number % 2 else {"x": deep}
    errors = refused("PATCH", "/user_1/metadata", {"public_metadata": deep})
    assert "deeper than 32" in errors["public_metadata"]
    wide = {"public_metadata": {f"x{number}": [number] for number in range(500)}}
    assert ask("PATCH", "/user_1/metadata", wide).action.name == "update_metadata"


def test_slow_body() -> None:
    """A body that arrives slowly is read for ten seconds at most."""

    async def receive() -> Message:
        await asyncio.sleep(1)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def main() -> float:
        scope = {"type": "http", "method": "PATCH", "headers": []}
        with pytest.raises(Problem) as caught:
            await read_call(Request(scope, receive), *find_action("PATCH", "/user_1"))
        assert (caught.value.status, caught.value.code) == (408, "too_slow")
        return virtual_time.now()

    assert virtual_time.run(main()) == pytest.approx(10, abs=0.1)


def test_white_space() -> None:
    """White space around typed values is removed. Metadata stays as it is, keys too."""
    sent: list[Any] = []

    class Recorder:
        async def update_metadata(self, user_id: str, metadata: Any) -> Snapshot:
            sent.append(metadata)
            return Snapshot({}, 0.0)

        async def create_user(self, fields: Any) -> Snapshot:
            sent.append(fields)
            return Snapshot({}, 0.0)

    metadata = {" role": "admin", "role": " x "}
    body = {"phone_number": " +15551234567 ", "first_name": " Ada ", "public_metadata": metadata}
    for call in (ask("PATCH", "/user_1/metadata", {"public_metadata": metadata}), ask("POST", "", body)):
        asyncio.run(call.run(cast("Clerk", Recorder())))
    assert sent[0] == sent[1]["public_metadata"] == metadata
    assert (sent[1]["phone_number"], sent[1]["first_name"]) == (["+15551234567"], "Ada")


@pytest.mark.parametrize(
    "number", ["0.1000000000000000055511151231257827", "1e-400", "1.50", "12345678901234567890.5"]
)
def test_digits(number: str) -> None:
    """No number in metadata loses a digit on its way to Clerk and Convex."""
    raw = f'{{"public_metadata":{{"n":{number}}}}}'.encode()
    patch = json.loads(ask("PATCH", "/user_1/metadata", raw=raw).metadata_patch or "", parse_float=Decimal)
    assert patch["n"] == Decimal(number)


@pytest.mark.parametrize(
    ("letter", "most"),
    [("x", 8182), ("é", 4091), ("\u4e2d", 2727), ("\N{GRINNING FACE}", 2045), ("\ud800", 1363), ("\0", 1363)],
)
def test_metadata_is_as_large_as_clerk_allows(letter: str, most: int) -> None:
    """In bytes of UTF-8, as the page counts: not in bytes of JSON that escapes each letter beyond ASCII."""
    fitting = {"public_metadata": {"bio": letter * most}}
    for raw in (None, json.dumps(fitting, ensure_ascii=False).encode("utf-8", "replace")):
        ask("PATCH", "/user_1/metadata", fitting, raw=raw)
    wrong = refused("PATCH", "/user_1/metadata", {"public_metadata": {"bio": letter * (most + 1)}})
    assert wrong == {"public_metadata": "is over 8192 bytes, more than Clerk stores"}


def test_metadata_patch() -> None:
    """It is JSON text, whatever it contains. Other actions have none, because their name says what they
    do."""
    patch = {"role": None, "half": "\ud800", "big": 10**30}
    call = ask("PATCH", "/user_1/metadata", {"public_metadata": patch})
    assert json.loads(call.metadata_patch or "") == patch
    assert (call.metadata_patch or "").isascii()
    assert ask("POST", "", NEW | {"public_metadata": {"role": "admin"}}).metadata_patch is None
    for path in ("ban", "lock", "unban", "unlock"):
        assert ask("POST", f"/user_1/{path}").metadata_patch is None


def test_each_action_is_found_by_its_row() -> None:
    """No two rows have the same name, or the same method and path."""
    for action in ACTIONS:
        path = action.path.replace("{id}", "user_1")
        target = "user_1" if "{id}" in action.path else None
        assert find_action(action.method, path) == find_action(action.method, f"{path}/") == (action, target)
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)


def test_answers_hold_anything() -> None:
    """An answer is JSON whatever Clerk returns. A user of an unknown shape is shown as far as possible."""
    assert user_of([]) == {}
    assert user_of({"deprovisioned": True, "private_metadata": {"a": 1}})["deprovisioned"] is True
    assert user_of({"email_addresses": 7, "phone_numbers": [7, {"verification": []}]}) == {
        "email_addresses": [],
        "phone_numbers": [{"id": None, "phone_number": None, "verified": False}],
    }
    assert bytes(answer({"half": "\ud800"}).body) == b'{"half":"\\ud800"}'


def test_429_without_retry_after() -> None:
    """Clerk counts as busy then too."""
    busy = clerk_problem(ClerkUnavailable("Clerk has trouble.", status=429), is_write=False)
    assert (busy.status, busy.code, busy.headers["Retry-After"]) == (503, "clerk_too_busy", "5")
    down = clerk_problem(ClerkUnavailable("Clerk has trouble."), is_write=False)
    assert (down.status, down.code, down.headers["Retry-After"]) == (502, "clerk_unavailable", "5")
    failing = clerk_problem(ClerkUnavailable("Clerk has trouble.", status=503), is_write=False)
    assert failing.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, (503, "clerk_too_busy")),
        (None, (503, "clerk_too_busy")),  # Clerk was not called: too many calls wait already
        (503, (502, "clerk_unavailable")),
    ],
)
def test_retry_after_is_passed_on(status: int | None, expected: tuple[int, str]) -> None:
    """The code is "busy" only if Clerk answered 429, or was not called because too many calls wait."""
    trouble = ClerkUnavailable("Clerk has trouble.", status=status)
    trouble.retry_after = 6.5
    problem = clerk_problem(trouble, is_write=False)
    assert (problem.status, problem.code) == expected
    assert problem.headers["Retry-After"] == "7"


# Anything at all


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    [
        *("first_name", "last_name", "username", "external_id", "email_address", "phone_number"),
        *("public_metadata", "role", "password"),
    ]
)
bodies = (
    st.dictionaries(field_names | st.text(max_size=8), json_values, max_size=5)
    .map(json.dumps)
    .map(str.encode)
    | json_values.map(json.dumps).map(str.encode)
    | st.binary(max_size=50)
)
segments = st.sampled_from(
    [
        *("", "USER", "user_x", "..", "metadata", "ban", "unban", "lock", "unlock", "delete"),
        *("sessions", "revoke", "revoke_all", "invitations", "bulk"),
    ]
) | st.text(max_size=10)
queries = st.lists(
    st.tuples(
        st.sampled_from(["query", "limit", "offset", "order_by", "banned", "email_address", "username"])
        | st.text(max_size=5),
        st.sampled_from(["1", "0", "-1", "true", "created_at", "-last_name", "a@b.c"]) | st.text(max_size=10),
    ),
    max_size=4,
)
headers = st.dictionaries(
    st.sampled_from(["x-request-id", "content-type", "content-length", "origin", "accept", "x-y"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    max_size=3,
)
methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE", "X"])


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@example("PATCH", ["USER", "metadata"], [], {}, b'{"public_metadata":{"a":"\\ud800","b":1e308}}')
@example("PATCH", ["USER"], [], {}, b'{"first_name":"\\u0000"}')
@example("POST", [], [], {}, b'{"email_address":"a@b","public_metadata":{"_":null}}')
@example("GET", [], [("query", "\ud800")], {}, b"")
@example("GET", ["invitations"], [("query", "\ud800")], {}, b"")
@example("POST", ["USER", "sessions", "revoke_all"], [], {}, b"")
@example("POST", ["bulk"], [], {}, b'{"action":"ban","user_ids":["user_x","user_y"]}')
@given(method=methods, path=st.lists(segments, max_size=3), query=queries, more=headers, body=bodies)
def test_anything(
    managed: Managed,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: list[str],
    query: list[tuple[str, str]],
    more: dict[str, str],
    body: bytes,
) -> None:
    """Whatever an admin sends, the answer is no 5xx; every error has the one form and no value; and Convex
    stays equal to Clerk."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    target = managed.eve
    address = "/".join(["", *(target if part == "USER" else part for part in path)])
    raw = [(name.encode(), value.encode("latin-1")) for name, value in more.items()]
    limits = dict.fromkeys(("READ", "WRITE", "BULK", "INVITATION"), "100000/minute")
    app = managed.app(**{f"CLERK_CONVEX_{name}_LIMIT": limit for name, limit in limits.items()})
    token = managed.token(managed.ada)
    sent: list[Message] = []

    async def main() -> None:
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return messages.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": "/api/users" + address,
            "query_string": urlencode(query, errors="surrogatepass").encode(),
            "headers": [(b"authorization", f"Bearer {token}".encode()), *raw],
            "client": ("192.0.2.1", 1),
        }
        await app(scope, receive, send)

    asyncio.run(main())
    assert sent[0]["status"] < 500
    content = b"".join(message.get("body", b"") for message in sent[1:])
    if sent[0]["status"] >= 400 and address.startswith("/"):
        assert list(json.loads(content)) == ["error"]
    assert "clerk_convex" not in {record.name for record in caplog.records}
    managed.assert_equal()
    if target not in managed.functions.rows():
        managed.eve = managed.sign_up("Eve")
