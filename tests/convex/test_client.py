from __future__ import annotations

import asyncio
import gc
import gzip
import inspect
import json
import socket
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from convex import ConvexInt64
from convex.http_client import ConvexHttpClient

from clerk_convex.convex import client as module
from clerk_convex.convex.client import (
    CallRefused,
    Conflicted,
    Deployment,
    FunctionMissing,
    KeyRefused,
    Throttled,
)
from clerk_convex.errors import DeploymentError, DeploymentMisconfigured, DeploymentUnavailable
from clerk_convex.net.pool import Trouble
from tests.support import stand_in
from tests.support.stand_in import DEPLOY_KEY, Behaviour, StandIn

pytestmark = pytest.mark.anyio

SECRET = "ada@example.com"  # stands for any data of a user that Convex may quote


def test_the_official_client_still_has_the_overridden_parts() -> None:
    """This test fails if a release of `convex` moves what we override."""
    assert list(inspect.signature(ConvexHttpClient._request).parameters) == ["self", "url", "name", "args"]

    class Recorder(ConvexHttpClient):
        def _request(self, url: str, name: str, args: Any) -> Any:
            return url, name, args

    client = Recorder("http://convex.test")
    for kind in ("query", "mutation", "action"):
        assert getattr(client, kind)("users:f", {"a": 1}) == (
            f"http://convex.test/api/{kind}",
            "users:f",
            {"a": 1},
        )
        assert getattr(client, kind)("users:f") == (f"http://convex.test/api/{kind}", "users:f", None)


@pytest.mark.parametrize("kind", ["query", "mutation", "action"])
@pytest.mark.parametrize(
    "args", [None, {}, {"a": 1, "b": [None, True, -0.0, "ü\n", b"x", ConvexInt64(5)], "changes": {}}]
)
async def test_requests_equal_those_of_the_official_client(
    convex: StandIn, kind: str, args: dict[str, Any] | None
) -> None:
    """For one call, both clients send the same request."""
    convex.behave(then=stand_in.value([1.5]))
    official = ConvexHttpClient(convex.url)
    official.set_admin_auth(DEPLOY_KEY)
    ours = Deployment(convex.url, DEPLOY_KEY)
    theirs = await asyncio.to_thread(getattr(official, kind), "users:f", args)
    assert await getattr(ours, kind)("users:f", args) == theirs == [1.5]
    first, second = convex.calls
    assert (first.target, first.body) == (second.target, second.body)
    for header in ("authorization", "convex-client", "content-type"):
        assert first.headers[header] == second.headers[header]


async def test_encoded_arguments_are_sent_as_they_are(convex: StandIn) -> None:
    """`send` makes the same call as the official methods, with arguments that the caller has encoded."""
    convex.behave(then=stand_in.value({"$integer": "BQAAAAAAAAA="}))
    deployment = Deployment(convex.url, DEPLOY_KEY)
    assert await deployment.send("query", "users:f", b'{"a":1.0}') == ConvexInt64(5)
    assert await deployment.query("users:f", {"a": 1}) == ConvexInt64(5)
    assert convex.calls[0].body == convex.calls[1].body
    assert convex.calls[0].target == convex.calls[1].target == "/api/query"


async def test_the_auth_can_be_cleared_as_on_the_official_client(convex: StandIn) -> None:
    convex.behave(then=stand_in.value(None))
    deployment = Deployment(convex.url, DEPLOY_KEY)
    deployment.clear_auth()
    assert await deployment.query("users:f") is None
    assert "authorization" not in convex.calls[0].headers


async def test_arguments_must_be_a_dict() -> None:
    with pytest.raises(TypeError, match="dict"):
        await Deployment("http://convex.test", DEPLOY_KEY).query("users:f", [SECRET])  # type: ignore[arg-type]


async def test_connections_are_reused(convex: StandIn) -> None:
    deployment = Deployment(convex.url, DEPLOY_KEY)
    for _ in range(3):
        await deployment.mutation("users:syncUsers", {"changes": []})
    assert convex.connections == 1


async def test_neither_netrc_nor_proxies_of_the_environment_are_used(
    convex: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The deploy key arrives whatever else is set on the machine."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await Deployment(convex.url, DEPLOY_KEY).mutation("users:syncUsers", {"changes": []})
    assert convex.calls[0].headers["authorization"] == f"Convex {DEPLOY_KEY}"


def refused(message: str, **more: Any) -> Behaviour:
    return stand_in.failure(message, **more)


HOSTED = stand_in.HOSTED
ANSWERS: dict[str, tuple[Behaviour, type[DeploymentError], str]] = {
    "thrown": (
        refused(f"{HOSTED}\nUncaught Error: {SECRET}\n    at handler"),
        CallRefused,
        "refused the call of users:f",
    ),
    "thrown, redacted": (refused(HOSTED), CallRefused, "refused the call of users:f. Its log"),
    "thrown, 560": (refused(HOSTED, code=560), CallRefused, "refused the call of users:f"),
    "no message": (stand_in.answer(200, {"status": "error"}), CallRefused, "refused the call of users:f"),
    "arguments": (
        refused(f"{HOSTED}\nArgumentValidationError: {SECRET}"),
        CallRefused,
        "(ArgumentValidationError)",
    ),
    "result": (refused(f"ReturnsValidationError: {SECRET}"), CallRefused, "(ReturnsValidationError)"),
    "400": (stand_in.status(400, "BadJsonBody", SECRET), CallRefused, "400 (BadJsonBody)"),
    "413": (stand_in.answer(413, SECRET.encode()), CallRefused, "413: it refused"),
    "no function": (
        refused(
            f"{HOSTED}\nCould not find public function for 'users:f'. Did you forget to run `npx convex dev`?"
        ),
        FunctionMissing,
        "no such function. Deploy the functions in convex/ (npx convex deploy); CONVEX_USERS_MODULE",
    ),
    "no function, 404": (
        stand_in.status(404, "FunctionPathNotFound", "Could not find public function"),
        FunctionMissing,
        "404 (FunctionPathNotFound): CONVEX_URL",
    ),
    "a query": (
        refused("Trying to execute users.js:f as Mutation, but it is defined as Query."),
        DeploymentMisconfigured,
        "another kind of function",
    ),
    "no permission": (
        refused("You do not have permission to perform this operation (RunInternalMutations)."),
        KeyRefused,
        "lacks a permission. Make a key in the dashboard that may run internal mutations and",
    ),
    "key, in a failure": (
        refused(f"{HOSTED}\nThe provided deploy key was invalid for this deployment."),
        KeyRefused,
        "CONVEX_DEPLOY_KEY was rejected",
    ),
    "paused": (
        refused(f"{HOSTED}\nCannot run functions while this deployment is paused. Resume the deployment in"),
        DeploymentMisconfigured,
        "the deployment is paused. Resume it in the dashboard",
    ),
    "suspended": (
        refused("Cannot run functions while this deployment is suspended."),
        DeploymentMisconfigured,
        "the deployment is suspended. The dashboard says why",
    ),
    "client version": (
        stand_in.status(400, "ClientVersionUnsupported", SECRET),
        DeploymentMisconfigured,
        "400 (ClientVersionUnsupported): it does not accept this version of the package convex",
    ),
    "header": (
        stand_in.status(400, "HeaderParseFailure", SECRET),
        DeploymentMisconfigured,
        "400 (HeaderParseFailure): it cannot read a header of the call. Set CONVEX_DEPLOY_KEY again",
    ),
    "cut key": (
        stand_in.status(400, "InvalidAuthHeader", DEPLOY_KEY),
        KeyRefused,
        "400 (InvalidAuthHeader): CONVEX_DEPLOY_KEY was rejected",
    ),
    "401": (
        stand_in.status(401, "BadAdminKey", DEPLOY_KEY),
        KeyRefused,
        "401 (BadAdminKey): CONVEX_DEPLOY_KEY",
    ),
    "403": (
        stand_in.status(403, "BadDeployKey", DEPLOY_KEY),
        KeyRefused,
        "internal mutations and internal",
    ),
    "404": (stand_in.answer(404, b"<h1>Not Found</h1>"), DeploymentMisconfigured, "404: CONVEX_URL"),
    "405": (stand_in.answer(405, b""), DeploymentMisconfigured, "405: CONVEX_URL"),
    "301": (
        stand_in.answer(301, b"", "Location: /"),
        DeploymentMisconfigured,
        "301, a redirect: CONVEX_URL is wrong",
    ),
    "304": (stand_in.answer(304, b""), DeploymentMisconfigured, "304, a redirect"),
    "308": (
        stand_in.answer(308, {"status": "success", "value": None}),
        DeploymentMisconfigured,
        "308, a redirect",
    ),
    "429": (stand_in.status(429), Throttled, "429"),
    "429, calls": (
        stand_in.status(429, "TooManyConcurrentRequests"),
        Throttled,
        "429 (TooManyConcurrentRequests): the deployment's class runs no more functions concurrently",
    ),
    "429, writes": (
        stand_in.status(429, "TooManyWrites"),
        Throttled,
        "429 (TooManyWrites): all mutations together write more bytes per second than",
    ),
    "408": (stand_in.status(408), DeploymentUnavailable, "408"),
    "500": (stand_in.status(500), DeploymentUnavailable, "500 (InternalServerError)"),
    "503": (
        stand_in.status(503, "OptimisticConcurrencyControlFailure"),
        Conflicted,
        "503 (OptimisticConcurrencyControlFailure): other mutations changed the same documents",
    ),
    "503, crowded": (
        stand_in.status(503, "CommitterFullError"),
        Throttled,
        "503 (CommitterFullError): it has too many calls to run.",
    ),
    "503, overloaded": (
        stand_in.status(503, "Overloaded"),
        DeploymentUnavailable,
        "503 (Overloaded). It may",
    ),
    "a code that is none": (stand_in.status(503, SECRET), DeploymentUnavailable, "503. It may"),
    "500, success": (
        stand_in.answer(500, {"status": "success", "value": None}),
        DeploymentUnavailable,
        "500",
    ),
    "garbage": (stand_in.answer(200, b"<html>"), DeploymentUnavailable, "cannot be read"),
    "not UTF-8": (stand_in.answer(200, b"\xff\xfe\x00"), DeploymentUnavailable, "cannot be read"),
    "a list": (stand_in.answer(200, []), DeploymentUnavailable, "cannot be read"),
    "nested": (stand_in.answer(200, b"[" * 200_000), DeploymentUnavailable, "cannot be read"),
    "no status": (stand_in.answer(200, {"value": None}), DeploymentUnavailable, "cannot be read"),
    "no value": (stand_in.answer(200, {"status": "success"}), DeploymentUnavailable, "cannot be read"),
    "a value that is none": (stand_in.value({"$odd": SECRET}), DeploymentUnavailable, "cannot be read"),
    "data that is none": (
        refused(SECRET, errorData={"$odd": SECRET}),
        DeploymentUnavailable,
        "cannot be read",
    ),
    "560 without an error": (
        stand_in.answer(560, {"status": "success", "value": 1.0}),
        DeploymentUnavailable,
        "cannot",
    ),
    "gzip that is none": (
        stand_in.answer(200, b"garbage", "Content-Encoding: gzip"),
        DeploymentUnavailable,
        "cannot be read",
    ),
    "no HTTP": (stand_in.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), DeploymentUnavailable, "broke"),
    "dropped": (stand_in.drop, DeploymentUnavailable, "broke"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_every_answer_has_its_error(convex: StandIn, name: str) -> None:
    """Errors of the caller, of the settings and of Convex have three types. No error quotes Convex."""
    behaviour, expected, text = ANSWERS[name]
    convex.behave(then=behaviour)
    with pytest.raises(DeploymentError) as caught:
        await Deployment(convex.url, DEPLOY_KEY).mutation("users:f", {"email": SECRET})
    assert type(caught.value) is expected
    assert text in str(caught.value)
    for hidden in (SECRET, DEPLOY_KEY, "\n"):
        assert hidden not in str(caught.value)
    assert caught.value.__context__ is None


async def test_the_data_of_a_convex_error_is_kept(convex: StandIn) -> None:
    """The caller gets the data of a ConvexError as from the official client."""
    convex.behave(then=refused("ConvexError", errorData={"code": "NOT_FOUND", "n": 1.0}))
    with pytest.raises(CallRefused) as caught:
        await Deployment(convex.url, DEPLOY_KEY).query("users:f")
    assert caught.value.data == {"code": "NOT_FOUND", "n": 1.0}


async def test_a_redirect_is_not_followed(convex: StandIn) -> None:
    """Neither the change nor the key is sent to the redirect's target."""
    with StandIn() as elsewhere:
        convex.behave(then=stand_in.answer(307, b"", f"Location: {elsewhere.url}/api/mutation"))
        with pytest.raises(DeploymentMisconfigured):
            await Deployment(convex.url, DEPLOY_KEY).mutation("users:f")
        assert elsewhere.calls == []


@pytest.mark.parametrize("behaviour", [stand_in.hang, stand_in.drip_headers, stand_in.drip_body])
async def test_the_timeout_is_a_total(convex: StandIn, behaviour: Behaviour) -> None:
    """A call ends in time even if a byte arrives every moment, and the event loop is not blocked."""
    convex.behave(then=behaviour)
    call = asyncio.create_task(Deployment(convex.url, DEPLOY_KEY, timeout=0.3).query("users:f"))
    ticks = 0
    started = time.monotonic()
    while not call.done():
        await asyncio.sleep(0.005)
        ticks += 1
    with pytest.raises(DeploymentUnavailable, match=r"within 0\.3 s"):
        await call
    assert time.monotonic() - started < 30
    assert ticks > 2


async def test_a_convex_that_is_down_is_reported(convex: StandIn) -> None:
    convex.stop()
    with pytest.raises(DeploymentUnavailable, match="cannot be reached"):
        await Deployment(convex.url, DEPLOY_KEY).query("users:f")


async def test_connecting_has_a_timeout_of_its_own() -> None:
    """So a host that drops packets is distinguished from a slow one."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        taken = [socket.socket() for _ in range(4)]
        for client in taken:
            client.setblocking(False)
            client.connect_ex(address)
        deployment = Deployment(f"http://127.0.0.1:{address[1]}", DEPLOY_KEY, timeout=30, connect_timeout=0.1)
        with pytest.raises(DeploymentUnavailable, match="cannot be reached"):
            await deployment.query("users:f")
        for client in taken:
            client.close()


async def test_a_stale_connection_is_replaced(convex: StandIn) -> None:
    """If the server has closed a kept connection, the call is repeated on a new one without an error."""
    deployment = Deployment(convex.url, DEPLOY_KEY)
    convex.behave(stand_in.value(1.0), stand_in.drop, stand_in.value(2.0), then=stand_in.hang)
    assert await deployment.query("users:f") == 1.0
    assert await deployment.query("users:f") == 2.0
    assert [call.connection for call in convex.calls] == [1, 1, 2]


async def test_a_restarted_convex_is_found_again(convex: StandIn) -> None:
    deployment = Deployment(convex.url, DEPLOY_KEY)
    assert await deployment.mutation("users:syncUsers", {"changes": []}) == []
    convex.stop()
    convex.start()
    assert await deployment.mutation("users:syncUsers", {"changes": []}) == []


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",)])
async def test_an_answer_is_read_up_to_a_limit(
    convex: StandIn, monkeypatch: pytest.MonkeyPatch, headers: tuple[str, ...]
) -> None:
    """No answer fills the memory, compressed or not."""
    content = json.dumps({"status": "success", "value": "x" * 100_000}).encode()
    body = gzip.compress(content) if headers else content
    convex.behave(then=stand_in.answer(200, body, *headers))
    deployment = Deployment(convex.url, DEPLOY_KEY)
    assert await deployment.query("users:f") == "x" * 100_000
    monkeypatch.setattr(module, "_LARGEST_RESPONSE", 50_000)
    with pytest.raises(DeploymentUnavailable, match="cannot be read"):
        await deployment.query("users:f")


@pytest.mark.parametrize("key", ["prod:x|\nInjected: header", "prod:x|\N{SNOWMAN}"])
async def test_a_key_with_odd_characters_is_reported(convex: StandIn, key: str) -> None:
    """A key with a line break or another invalid character is an error of the settings, and is not shown."""
    with pytest.raises(DeploymentMisconfigured, match="CONVEX_URL or CONVEX_DEPLOY_KEY") as caught:
        await Deployment(convex.url, key).query("users:f")
    assert "prod:x" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "http://[::"])
async def test_a_malformed_url_is_reported(url: str) -> None:
    with pytest.raises(DeploymentMisconfigured, match="CONVEX_URL or CONVEX_DEPLOY_KEY"):
        await Deployment(url, DEPLOY_KEY).query("users:f")


async def test_a_call_can_be_cancelled(convex: StandIn) -> None:
    """A process that stops does not wait for Convex, and the deployment can still be used."""
    convex.behave(stand_in.hang, then=stand_in.value(1.0))
    deployment = Deployment(convex.url, DEPLOY_KEY, timeout=60)
    call = asyncio.create_task(deployment.query("users:f"))
    await asyncio.to_thread(convex.wait_for_calls, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await deployment.query("users:f") == 1.0


async def test_closing_is_not_final(convex: StandIn) -> None:
    deployment = Deployment(convex.url, DEPLOY_KEY)
    await deployment.aclose()
    for connections in (1, 2):
        await deployment.mutation("users:syncUsers", {"changes": []})
        assert convex.connections == connections
        await deployment.aclose()
        await deployment.aclose()


def test_connections_close_with_the_loop(convex: StandIn) -> None:
    """An app whose lifespan is never run leaves no connection open. The next loop opens new ones."""
    deployment = Deployment(convex.url, DEPLOY_KEY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for connections in (1, 2):
            asyncio.run(deployment.mutation("users:syncUsers", {"changes": []}))
            assert convex.connections == connections
        gc.collect()
    assert caught == []


async def test_limits_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has seven seconds, a connection two, a response 16 MiB, unless the caller sets other limits.

    Convex answers 429 after 5 s, so that a shorter time would be over before it says so."""
    deployment = Deployment("http://convex.test", DEPLOY_KEY)
    limits = {}

    async def send(*args: Any, **options: Any) -> Trouble:
        limits.update(options)
        return Trouble.SLOW

    monkeypatch.setattr(deployment._pool, "send", send)
    with pytest.raises(DeploymentUnavailable, match="within 7 s"):
        await deployment.query("users:f")
    assert limits == {"timeout": 7.0, "largest": 16 * 1024 * 1024}
    assert deployment._pool.connect_timeout == 2.0


async def test_the_message_is_only_read_where_convex_wrote_it(convex: StandIn) -> None:
    """User data in an error message is never taken for a message of Convex."""
    convex.behave(then=refused(f"{HOSTED}\nUncaught Error: x\nCould not find public function for 'users:f'."))
    with pytest.raises(CallRefused):
        await Deployment(convex.url, DEPLOY_KEY).query("users:f")
