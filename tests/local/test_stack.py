from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from benchmarks.ports import free_port
from clerk_convex.errors import LocalError, SettingsError
from clerk_convex.local.convex import LocalConvex
from clerk_convex.local.dashboard import is_built
from clerk_convex.local.stack import LocalStack
from clerk_convex.settings import AdminSettings, Settings, WebhookSettings
from tests.support.functions import ROOT, Functions


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(project=ROOT) as stack:
        yield stack


def test_connections_are_kept_longer_than_by_httpx(stack: LocalStack) -> None:
    """A client that drops idle connections after 5 s never meets a server that does so at the same moment."""
    with ExitStack() as open_sockets:
        kept = []
        for url in (stack.url, stack.clerk.url, stack.convex.url):
            connection = open_sockets.enter_context(closing(HTTPConnection(urlsplit(url).netloc, timeout=60)))
            connection.request("GET", "/version")
            connection.getresponse().read()
            kept.append((connection, connection.sock))
        time.sleep(5.5)
        for connection, before in kept:
            connection.request("GET", "/version")
            connection.getresponse().read()
            assert connection.sock is before


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def assert_nothing_runs(stack: LocalStack, before: set[threading.Thread]) -> None:
    names = {thread.name for thread in threading.enumerate() if thread not in before}
    assert not {name for name in names if name.startswith("local-")}
    for name in ("convex", "clerk"):
        process = getattr(getattr(stack, name, None), "process", None)
        assert process is None or process.returncode is not None


def test_changes_at_clerk_arrive_in_convex(stack: LocalStack) -> None:
    """A change of a user at the local Clerk is in Convex a moment later, through signed webhooks."""
    functions = Functions(stack.convex)
    with functions.http:
        ada = stack.clerk.create_user(first_name="Ada")["id"]
        assert stack.clerk.webhooks.drain(30)
        assert functions.rows()[ada]["firstName"] == "Ada"
        stack.clerk.ban(ada)
        assert stack.clerk.webhooks.drain(30)
        assert functions.rows()[ada]["status"] == "banned"
        stack.clerk.delete_user(ada)
        assert stack.clerk.webhooks.drain(30)
        assert ada not in functions.rows()


def test_environment_is_what_a_program_needs(stack: LocalStack) -> None:
    """The settings of the set are valid, and name its parts."""
    environment = stack.environment()
    settings = Settings.from_env(environment)
    settings.require(AdminSettings)
    settings.require(WebhookSettings)
    key = {"Authorization": f"Bearer {environment['CLERK_SECRET_KEY']}"}
    count = httpx.get(f"{environment['CLERK_API_URL']}/v1/users/count", headers=key, trust_env=False)
    assert count.json()["total_count"] == stack.clerk.count
    assert httpx.post(environment["WEBHOOK_URL"], trust_env=False).status_code == 400
    assert httpx.get(f"{environment['CONVEX_URL']}/version", trust_env=False).is_success


def test_chosen_ports_are_used() -> None:
    """Each part listens on its port until it is stopped, and can be started again."""
    port, convex_port, clerk_port = ports = [free_port() for _ in range(3)]
    stack = LocalStack(port=port, convex_port=convex_port, clerk_port=clerk_port, project=ROOT)
    stack.stop()
    for _ in range(2):
        stack.start()
        assert (stack.url, stack.convex.url, stack.clerk.url) == tuple(f"http://127.0.0.1:{n}" for n in ports)
        assert all(map(is_open, ports))
        stack.stop()
        stack.stop()
        assert not any(map(is_open, ports))


@pytest.mark.parametrize("name", ["port", "convex_port", "clerk_port"])
def test_busy_port_leaves_nothing_running(name: str) -> None:
    """A port in use is an error of one line that names it, and the parts that were started are stopped."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        match name:
            case "port":
                stack = LocalStack(project=ROOT, port=port)
            case "convex_port":
                stack = LocalStack(project=ROOT, convex_port=port)
            case _:
                stack = LocalStack(project=ROOT, clerk_port=port)
        with pytest.raises(LocalError, match=rf"^.*\b[Pp]ort {port}\b.*$") as caught:
            stack.start()
    assert "\n" not in str(caught.value)
    assert_nothing_runs(stack, before)


def test_interrupted_start_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while Convex starts stops the parts that run already."""

    def interrupted(self: LocalConvex) -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    monkeypatch.setattr(LocalConvex, "start", interrupted)
    stack = LocalStack(project=ROOT)
    with pytest.raises(KeyboardInterrupt):
        stack.start()
    assert_nothing_runs(stack, before)


def test_service_that_ends_while_it_starts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start does not wait for a server that has ended."""
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: time.sleep(0.05))
    monkeypatch.setattr("clerk_convex.local.stack.LocalClerk.start", lambda self: None)
    monkeypatch.setattr("clerk_convex.local.stack.LocalConvex.start", start_nothing)
    with pytest.raises(LocalError, match="The service ended"):
        LocalStack(project=ROOT, connected=False).start()


def start_nothing(self: LocalConvex) -> None:
    self.url = "http://127.0.0.1:1"


def test_environment_keeps_only_the_settings_of_the_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CONVEX_USERS_MODULE and CLERK_CONVEX_FIELDS are used, settings of a real instance are not."""
    monkeypatch.setattr("clerk_convex.local.stack.LocalConvex.start", start_nothing)
    monkeypatch.setenv("CONVEX_USERS_MODULE", "people")
    monkeypatch.setenv("CLERK_CONVEX_FIELDS", "operator:itemgetter")
    monkeypatch.setenv("CLERK_INSTANCE_ID", "ins_real")
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_live_real")
    with LocalStack(project=ROOT) as stack:
        assert stack.settings.convex_users_module == "people"
        assert stack.settings.clerk_convex_fields is not None
        assert stack.settings.clerk_instance_id is None
        assert "sk_live_real" not in stack.environment().values()


def test_the_module_is_the_one_that_the_functions_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is chosen comes first, then the environment's. Other programs get the same one."""
    monkeypatch.setattr("clerk_convex.local.stack.LocalConvex.start", start_nothing)
    monkeypatch.delenv("CONVEX_USERS_MODULE", raising=False)

    def module(**chosen: str) -> str:
        with LocalStack(functions=tmp_path, connected=False, chosen=chosen) as stack:
            assert stack.environment()["CONVEX_USERS_MODULE"] == stack.settings.convex_users_module
            return stack.settings.convex_users_module

    assert module() == "users"
    (tmp_path / "clerk").mkdir()
    for text, named in (
        (b"export {};", "users"),
        (b"\xff", "users"),
        (b"return internal.lib.people;", "lib/people"),
    ):
        (tmp_path / "clerk" / "module.ts").write_bytes(text)
        assert module() == named
    monkeypatch.setenv("CONVEX_USERS_MODULE", "persons")
    assert module() == "persons"
    assert module(CONVEX_USERS_MODULE="chosen") == "chosen"


def test_malformed_setting_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CLERK_CONVEX_FIELDS that cannot be imported is a SettingsError, and every part is stopped."""
    monkeypatch.setenv("CLERK_CONVEX_FIELDS", "nowhere:at_all")
    before = set(threading.enumerate())
    stack = LocalStack(project=ROOT)
    with pytest.raises(SettingsError, match="CLERK_CONVEX_FIELDS"):
        stack.start()
    assert_nothing_runs(stack, before)


def test_stop_does_not_wait_for_messages(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While messages are on their way and Convex hangs, it stops without waiting and without output."""
    monkeypatch.setattr("clerk_convex.local.convex.deployment.STOP_SECONDS", 0.1)
    stack = LocalStack(project=ROOT)
    stack.start()
    stack.convex.process.send_signal(signal.SIGSTOP)
    for number in range(40):
        stack.clerk.create_user(first_name=str(number))
    time.sleep(0.3)
    assert stack.clerk.webhooks.stats.pending == 40
    stack.stop()
    assert not [record.message for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


def test_dashboard_is_served(stack: LocalStack) -> None:
    """DASHBOARD_URL leads to the page and its configuration."""
    assert is_built(), "The dashboard has not been built: npm run build"
    assert stack.environment()["DASHBOARD_URL"] == stack.dashboard_url == f"{stack.url}/dashboard/users"
    places = httpx.get(f"{stack.url}/dashboard/config.json", trust_env=False).json()
    assert places == {"convexUrl": stack.convex.url, "clerkUrl": stack.clerk.url, "usersModule": "users"}
    assert httpx.get(f"{stack.url}/dashboard/users", trust_env=False).status_code == 200
