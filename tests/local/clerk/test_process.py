"""The local Clerk in a process of its own: its calls, its end and its errors."""

from __future__ import annotations

import inspect
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import Faults, LocalClerk, Webhooks
from clerk_convex.local.clerk import server as clerk_server
from clerk_convex.local.clerk.control import plain
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.objects import ClerkRefusal
from clerk_convex.local.clerk.svix import Delivery, Stats, WebhookSender
from clerk_convex.local.listener import listen
from tests.support.functions import ROOT, eventually
from tests.support.local_clerk import CONTROL_KEY, served
from tests.support.webhook_receiver import Receiver


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalClerk]:
    with LocalClerk(rate_limit=0, seed=7) as clerk:
        yield clerk


@pytest.fixture
def clerk(shared: LocalClerk) -> LocalClerk:
    for user in shared.users():
        shared.delete_user(user["id"])
    return shared


def listens(url: str) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
        return True
    return False


TOGETHER = """
from pathlib import Path
from convex import ConvexClient
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.convex import LocalConvex

with LocalClerk() as clerk:
    environment = {"CLERK_JWT_ISSUER_DOMAIN": clerk.issuer}
    with LocalConvex(project=Path("."), env=environment) as convex:
        session = clerk.sign_in(clerk.create_user()["id"])
        client = ConvexClient(convex.url)
        client.set_auth(clerk.session_token(session["id"]))
        print(client.query("users:currentUser", {})["state"])
"""


def test_the_official_client_can_be_in_the_same_process() -> None:
    """It holds the interpreter's lock until Convex has the public keys: the Clerk must answer all the same.

    The program has no `if __name__ == "__main__"` either.
    """
    ended = subprocess.run(
        [sys.executable, "-c", TOGETHER], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("not_synced\n", "", 0)


START = """
import os, sys, time
from clerk_convex.local.clerk import LocalClerk
clerk = LocalClerk()
clerk.start()
print(clerk.url, clerk.process.pid, flush=True)
if sys.argv[1] == "forked" and os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["alone", "forked"])
def test_it_ends_with_the_process_that_started_it(kind: str) -> None:
    """Also after SIGKILL, and while a fork of that process still holds a copy of the connection."""
    process = subprocess.Popen([sys.executable, "-c", START, kind], cwd=ROOT, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        url, own = process.stdout.readline().decode().split()
        fork = int(process.stdout.readline()) if kind == "forked" else None
        assert listens(url)
        process.kill()
        process.wait()
        try:
            assert eventually(lambda: not listens(url))
            assert eventually(lambda: not Path(f"/proc/{own}").exists())
        finally:
            if fork is not None:
                os.kill(fork, signal.SIGKILL)


def test_modules_of_the_directory_it_is_started_in_are_left_alone(tmp_path: Path) -> None:
    """A `jwt.py` in that directory is not imported in place of the library."""
    (tmp_path / "jwt.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "program").mkdir()
    program = tmp_path / "program" / "program.py"
    program.write_text(
        "from clerk_convex.local.clerk import LocalClerk\nwith LocalClerk() as clerk: print(clerk.count)"
    )
    ended = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.stdout, ended.stderr) == ("0\n", "")


def test_it_starts_and_stops_quickly() -> None:
    """Within seconds on a very busy machine. After close no process listens."""
    started = time.monotonic()
    clerk = LocalClerk()
    clerk.start()
    assert time.monotonic() - started < 20
    assert listens(clerk.url)
    started = time.monotonic()
    clerk.close()
    clerk.close()
    assert time.monotonic() - started < 10
    assert not listens(clerk.url)
    assert clerk.process.returncode == -signal.SIGKILL


def test_it_can_be_started_again() -> None:
    """It is empty then, with the same keys."""
    clerk = LocalClerk()
    for _ in range(2):
        with clerk:
            clerk.create_user(first_name="Ada")
            assert clerk.count == 1
            headers = {"authorization": f"Bearer {clerk.secret_key}"}
            answer = httpx.get(f"{clerk.url}/v1/users/count", headers=headers, trust_env=False)
            assert answer.json()["total_count"] == 1


def test_calls_without_a_running_clerk_are_an_error() -> None:
    """Before the start, after close, and when the process has ended by itself."""
    clerk = LocalClerk()
    with pytest.raises(LocalError, match=r"does not run.*start\(\)"):
        clerk.users()
    with clerk:
        clerk.process.kill()
        clerk.process.wait()
        with pytest.raises(LocalError, match="has ended"):
            clerk.users()
    with pytest.raises(LocalError, match="does not run"):
        clerk.webhooks.drain(1)


def test_a_process_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start does not wait for it, and leaves nothing running."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    clerk = LocalClerk()
    with pytest.raises(LocalError, match="has ended"):
        clerk.start()
    assert not listens(clerk.url)


def test_a_process_that_does_not_answer_is_given_up(
    clerk: LocalClerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has a limit."""
    monkeypatch.setattr("clerk_convex.local.clerk.process.ANSWER_SECONDS", 0.2)
    clerk.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, clerk.process.pid, os.WSTOPPED)  # until then it may still answer
    try:
        with pytest.raises(LocalError, match=r"did not answer \(ReadTimeout\)"):
            clerk.users()
    finally:
        clerk.process.send_signal(signal.SIGCONT)


def test_wrong_options_are_refused() -> None:
    """Before anything is started, or with nothing left running."""
    with pytest.raises(LocalError, match="session claims sub are Clerk's own"):
        LocalClerk(session_claims={"sub": "somebody"})
    clerk = LocalClerk(webhook_url="nowhere")
    with pytest.raises(LocalError, match="webhook URL is not an address"):
        clerk.start()
    assert clerk.process.returncode is not None


def test_users_are_seeded_changed_and_read(clerk: LocalClerk) -> None:
    """Every call has the same effect as in this process, also with half a surrogate pair."""
    ada = clerk.create_user(first_name="Ada", public_metadata={"cut": "\ud83d", "big": 2**60})["id"]
    others = clerk.create_users({"username": f"user{number}"} for number in range(3))
    assert clerk.count == 4
    assert {user["id"] for user in clerk.users()} == {ada, *(user["id"] for user in others)}
    assert clerk.get_user(ada)["public_metadata"] == {"cut": "\ud83d", "big": 2**60}
    assert clerk.update_user(ada, last_name="Lovelace")["last_name"] == "Lovelace"
    assert clerk.update_metadata(ada, public_metadata={"a": {"b": 1}})["public_metadata"]["big"] == 2**60
    assert clerk.update_metadata(ada, merge=False, public_metadata={})["public_metadata"] == {}
    for change, field, value in (
        (clerk.ban, "banned", True),
        (clerk.unban, "banned", False),
        (clerk.lock, "locked", True),
        (clerk.unlock, "locked", False),
        (clerk.deprovision, "deprovisioned", True),
        (clerk.reprovision, "deprovisioned", False),
    ):
        assert change(ada)[field] is value
        assert clerk.get_user(ada)[field] is value
    assert clerk.lock(ada, seconds=30)["lockout_expires_in_seconds"] == 30
    assert clerk.delete_user(ada)["deleted"] is True
    assert clerk.count == 3


def test_sessions_and_tokens(clerk: LocalClerk) -> None:
    """Tokens are signed by the process, and verify with the keys that it publishes."""
    ada = clerk.create_user()["id"]
    session = clerk.sign_in(ada, client_id="client_1")
    pending = clerk.sign_in(ada, status="pending", partial=True)
    assert clerk.get_session(session["id"]) == session
    assert clerk.sessions(user_id=ada) == [pending, session]
    assert clerk.sessions(client_id="client_1", status="active") == [session]
    token = clerk.session_token(
        session["id"], azp="https://a.test", lifetime=30, claims={"x": 1, "fva": None}
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["azp"], claims["x"]) == (clerk.url, "https://a.test", 1)
    assert "fva" not in claims
    kids = [key["kid"] for key in clerk.jwks()["keys"]]
    assert jwt.get_unverified_header(token)["kid"] in kids
    clerk.rotate_keys()
    assert len(clerk.jwks()["keys"]) == len(kids) + 1
    clerk.rotate_keys(keep_old=False)
    published = httpx.get(f"{clerk.issuer}/.well-known/jwks.json", trust_env=False).json()
    assert published == clerk.jwks()
    assert len(published["keys"]) == 1
    assert jwt.decode(
        clerk.session_token(session["id"], template="convex"), options={"verify_signature": False}
    )
    assert clerk.revoke_session(session["id"])["status"] == "revoked"
    assert clerk.remove_session(pending["id"])["status"] == "removed"


def test_refusals_are_the_same_as_in_process(clerk: LocalClerk) -> None:
    """With the status, code, message and parameter. A value that is no JSON is not sent."""
    clerk.create_user(username="ada")
    with pytest.raises(ClerkRefusal, match="Another user has this username") as caught:
        clerk.create_user(username="Ada")
    assert caught.value.status == 422
    assert caught.value.error == {
        "message": "is taken",
        "long_message": "Another user has this username.",
        "code": "form_identifier_exists",
        "meta": {"param_name": "username"},
    }
    with pytest.raises(ClerkRefusal, match="No user was found") as caught:
        clerk.get_user("user_nobody")
    assert (caught.value.status, "meta" in caught.value.error) == (404, False)
    with pytest.raises(ValueError, match="JSON"):
        clerk.create_user(public_metadata={"x": float("nan")})
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(ValueError, match="deep"):
        clerk.create_user(public_metadata={"deep": deep})
    with pytest.raises(LocalError, match="cannot do that: create_user: TypeError"):
        clerk.create_user(email_address=5)
    assert clerk.count == 1


def test_settings_can_be_changed_while_it_runs() -> None:
    """They can be read and changed, and take effect."""
    with LocalClerk(rate_limit=0) as clerk:
        headers = {"authorization": f"Bearer {clerk.secret_key}"}

        def status() -> int:
            return httpx.get(f"{clerk.url}/v1/users", headers=headers, trust_env=False).status_code

        assert status() == 200
        clerk.faults = Faults(status=503, times=1)
        assert clerk.faults == Faults(status=503, times=1)
        assert status() == 503
        assert clerk.faults == Faults(status=503, times=0)
        assert status() == 200
        clerk.frontend_faults = Faults(status=500)
        assert httpx.get(f"{clerk.url}/.well-known/jwks.json", trust_env=False).status_code == 500
        assert clerk.frontend_faults.status == 500
        clerk.secret_key = "sk_test_another"
        assert clerk.secret_key == "sk_test_another"
        assert status() == 401
        user_id = clerk.create_user()["id"]
        clerk.token_lifetime = 7
        assert clerk.token_lifetime == 7
        clerk.session_claims = {"role": "{{user.public_metadata.role}}"}
        assert clerk.session_claims == {"role": "{{user.public_metadata.role}}"}
        token = clerk.session_token(clerk.sign_in(user_id)["id"])
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 7
        assert claims["role"] is None
        assert clerk.lockout_seconds == 3600
        clerk.lockout_seconds = None
        assert clerk.lockout_seconds is None
        assert clerk.lock(user_id)["lockout_expires_in_seconds"] is None
        assert "user.created" in (clerk.events or ())
        clerk.events = None
        assert clerk.events is None
        clerk.webhooks.delivery = replace(clerk.webhooks.delivery, lost=0.5)
        assert clerk.webhooks.delivery == Delivery(lost=0.5)
        assert re.fullmatch(r"ins_\w{27}", clerk.instance_id)


def test_webhooks_can_be_followed() -> None:
    """Sent, attempted, failed and replayed messages can be read."""
    with Receiver() as receiver, LocalClerk(speed=10**9) as clerk:
        before = clerk.webhooks.has_endpoints
        with pytest.raises(LocalError, match="not an address"):
            clerk.webhooks.add_endpoint("nowhere")
        endpoint = clerk.webhooks.add_endpoint(receiver.url)
        assert (before, clerk.webhooks.has_endpoints) == (False, True)
        assert re.fullmatch(r"whsec_[\w+/]{32}", endpoint.secret)
        receiver.answer = lambda received: 500
        clerk.create_user()
        assert clerk.webhooks.drain(20)
        (lost,) = clerk.webhooks.failed
        assert clerk.webhooks.stats == Stats(sent=1, attempts=8, failed=1)
        assert [(it.message_id, it.status, it.number) for it in clerk.webhooks.attempts] == [
            (lost, 500, number) for number in range(1, 9)
        ]
        receiver.answer = lambda received: 204
        assert clerk.webhooks.replay(lost) == 1
        assert clerk.webhooks.drain(20)
        assert clerk.webhooks.attempts[-1].ok
        assert clerk.webhooks.replay_failed() == 0
        assert clerk.webhooks.send("{}").startswith("msg_")


def test_reset_is_as_after_the_start() -> None:
    """Nothing of before is left, except what other programs know by heart: the addresses and the keys."""
    with Receiver() as receiver, LocalClerk(webhook_url=receiver.url, rate_limit=0) as clerk:
        keys = clerk.jwks()
        ada = clerk.create_user(email_address=["ada@example.com"])["id"]
        session = clerk.sign_in(ada)["id"]
        assert clerk.webhooks.drain(20)
        clerk.webhooks.add_endpoint("http://127.0.0.1:9/")
        changed = {
            "faults": Faults(status=503),
            "frontend_faults": Faults(status=503),
            "secret_key": "sk_test_another",
            "token_lifetime": 7,
            "lockout_seconds": None,
            "session_claims": {"role": "admin"},
            "events": None,
        }
        before = {name: getattr(clerk, name) for name in changed}
        for name, value in changed.items():
            setattr(clerk, name, value)
        clerk.webhooks.delivery = Delivery(lost=1.0)
        clerk.reset()
        assert (clerk.count, clerk.users(), clerk.sessions()) == (0, [], [])
        with pytest.raises(ClerkRefusal, match="No session"):
            clerk.get_session(session)
        assert {name: getattr(clerk, name) for name in changed} == before
        assert clerk.webhooks.delivery == Delivery()
        assert clerk.jwks() == keys
        headers = {"authorization": f"Bearer {clerk.secret_key}"}
        assert httpx.get(f"{clerk.url}/v1/users", headers=headers, trust_env=False).json() == []
        receiver.requests.clear()
        assert clerk.create_user(email_address=["ada@example.com"])["id"] != ada
        assert clerk.webhooks.drain(20)
        assert len(receiver.requests) == 1
        assert clerk.webhooks.stats == Stats(sent=1, attempts=1, delivered=1)


def signature(method: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(method, eval_str=True).parameters.values())


def test_it_has_the_methods_of_an_instance_in_process(clerk: LocalClerk) -> None:
    """Each method of both has the same arguments, and none is missing."""
    pairs: list[tuple[type[object], type[object], set[str]]] = [
        (LocalClerk, ClerkInstance, {"start", "close"}),
        (Webhooks, WebhookSender, {"start"}),
    ]
    for remote, local, own in pairs:
        for name, method in inspect.getmembers(remote, inspect.isfunction):
            if not name.startswith("_") and name not in own:
                there = getattr(local, name)
                assert signature(method) == signature(there), name
    assert clerk.instance_id == ClerkInstance(seed=7).instance_id


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("users", CONTROL_KEY, 200),
        ("users", "another", 401),
        ("users", None, 401),
        ("close", CONTROL_KEY, 404),
        ("webhooks.close", CONTROL_KEY, 404),
        ("get.secret_key", CONTROL_KEY, 200),
        ("get._keys", CONTROL_KEY, 404),
    ],
)
def test_control_needs_the_key(path: str, key: str | None, status: int) -> None:
    """A call without the key is refused, and only known calls exist."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    with served() as clerk:
        answer = httpx.post(f"{clerk.url}/local/{path}", content="{}", headers=headers, trust_env=False)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_key", "sk_test_another"),
        ("token_lifetime", 7),
        ("lockout_seconds", None),
        ("session_claims", {"a": 1}),
        ("events", ["user.created"]),
        ("faults", asdict(Faults(status=503, times=3))),
        ("frontend_faults", asdict(Faults(delay=0.5))),
        ("webhooks.delivery", asdict(Delivery(late=0.5))),
    ],
)
def test_settings_are_returned_as_they_were_set(name: str, value: object) -> None:
    """As JSON, whatever type the instance uses."""
    headers = {"authorization": f"Bearer {CONTROL_KEY}"}
    prefix, _, attribute = name.rpartition(".")
    path = f"{prefix}." if prefix else ""
    with served() as clerk, httpx.Client(base_url=f"{clerk.url}/local/", headers=headers) as client:
        assert client.post(f"{path}set.{attribute}", json={"value": value}).json() == {"value": None}
        assert client.post(f"{path}get.{attribute}", json={}).json() == {"value": value}
        target = getattr(clerk, prefix) if prefix else clerk
        assert plain(getattr(target, attribute)) == value
        assert client.post("webhooks.get.attempts", json={}).json() == {"value": []}


@pytest.mark.parametrize(
    ("call", "arguments", "status", "message"),
    [
        ("create_user", {"email_address": 5}, 500, "cannot do that: create_user: TypeError"),
        ("webhooks.add_endpoint", {"url": "nowhere"}, 400, "webhook URL is not an address"),
        ("get_user", {"user_id": "user_nobody"}, 404, "No user was found"),
    ],
)
def test_errors_of_calls(call: str, arguments: dict[str, Any], status: int, message: str) -> None:
    """Each is one message, whichever side causes it."""
    headers = {"authorization": f"Bearer {CONTROL_KEY}"}
    with served() as clerk:
        answer = httpx.post(f"{clerk.url}/local/{call}", json=arguments, headers=headers, trust_env=False)
    assert answer.status_code == status
    assert message in answer.text


def test_without_a_parent_from_the_start_it_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example if Ctrl-C ended the parent before it sent the options."""
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        runpy.run_path(clerk_server.__file__, run_name="__main__")


@pytest.mark.parametrize("orphaned", [False, True])
def test_it_serves_until_its_parent_is_gone(orphaned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It notices that by its stdin, or by its parent's id."""
    monkeypatch.setattr(clerk_server, "LOOK_EVERY", 0.05)
    listener = listen(0, "The local Clerk")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    configuration = {
        "options": {"rate_limit": 0},
        "descriptor": listener.detach(),
        "control_key": "key",
        "parent": os.getppid() + orphaned,
    }
    reading, writing = os.pipe()
    os.write(writing, json.dumps(configuration).encode() + b"\n")
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb") as parent:
        thread = threading.Thread(target=clerk_server.main, args=(stdin,))
        thread.start()
        if not orphaned:
            headers = {"authorization": "Bearer key"}
            answer = httpx.post(f"{url}/local/get.count", content="{}", headers=headers, trust_env=False)
            assert answer.json() == {"value": 0}
            time.sleep(0.2)  # it looks more than once
            assert thread.is_alive()
            parent.close()
        thread.join(20)
        assert not thread.is_alive()
