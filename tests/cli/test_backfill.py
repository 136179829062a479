"""clerk_convex/cli/backfill.py: the output of the command, its streams, and its exit status."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from clerk_convex.backfill import OnProgress, Progress
from clerk_convex.backfill.display import Bar, Lines
from clerk_convex.cli import backfill as command
from clerk_convex.errors import SettingsError
from clerk_convex.settings import Settings
from tests.support.backfill_set import BackfillSet, functions_of, hasty, shared_clerk
from tests.support.functions import Functions, eventually, upsert


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with functions_of(tmp_path_factory.mktemp("project"), silence_ms="60 * 1000") as functions:
        yield functions


@pytest.fixture
def local(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    local = BackfillSet(shared_clerk(), functions)
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.1)
    hasty(monkeypatch)
    return local


def test_done_is_0_and_not_equal_is_1(local: BackfillSet, capsys: pytest.CaptureFixture[str]) -> None:
    """stdout has only the result, with the next command."""
    local.sign_up(3)
    assert command.main(["--verify"]) == 1
    assert capsys.readouterr().out.startswith("Not equal: 3 users in Clerk, 0 rows in Convex; 3 missing")
    assert command.main([]) == 0
    out, err = capsys.readouterr()
    assert "3 created" in out
    assert out.endswith("Next: python -m clerk_convex.backfill --verify\n")
    assert err == ""
    assert command.main(["--verify"]) == 0
    assert capsys.readouterr().out.startswith("Equal: 3 users in Clerk, 3 rows in Convex.")


def test_json_is_for_programs(local: BackfillSet, capsys: pytest.CaptureFixture[str]) -> None:
    local.sign_up(3)
    assert command.main(["--json", "--quiet", "--prune"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["counts"], report["error"]) == (True, {"created": 3}, None)
    pruning = {"rows": 3, "absent": 0, "deleted": 0, "limit": 10, "refused": False, "unlinked": 0}
    assert report["pruning"] == pruning
    assert command.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pruning"] is None
    assert command.main(["--json", "--verify"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True


def test_a_refused_prune_is_1(local: BackfillSet, capsys: pytest.CaptureFixture[str]) -> None:
    """With --yes it is done."""
    local.functions.sync([upsert(f"user_ghost{number}") for number in range(11)])
    assert command.main(["--prune"]) == 1
    assert "--prune --yes" in capsys.readouterr().out
    assert command.main(["--prune", "--yes", "--concurrency", "2"]) == 0


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"CLERK_SECRET_KEY": "", "CONVEX_URL": ""}, 2, "CLERK_SECRET_KEY, CONVEX_URL"),
        ({"CLERK_SECRET_KEY": "sk_live_wrongwrongwrongwrong"}, 2, "CLERK_SECRET_KEY was rejected"),
        ({"CONVEX_URL": "https://happy-animal-1.convex.site"}, 2, ".convex.cloud"),
        ({"CONVEX_DEPLOY_KEY": "prod:wrong|wrong"}, 2, "CONVEX_DEPLOY_KEY was rejected"),
        ({"CONVEX_USERS_MODULE": "elsewhere"}, 2, "npx convex deploy"),
        ({"CLERK_CONVEX_FIELDS": "nowhere:nothing"}, 2, "CLERK_CONVEX_FIELDS"),
        ({"CLERK_API_URL": "http://127.0.0.1:9"}, 1, "Clerk cannot be reached"),
        ({"CONVEX_URL": "http://127.0.0.1:9"}, 1, "Convex cannot be reached"),
    ],
)
@pytest.mark.parametrize("verify", [[], ["--verify"]])
def test_an_error_is_one_line(
    local: BackfillSet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    status: int,
    said: str,
    verify: list[str],
) -> None:
    """stderr has the cause and the remedy within seconds, without a traceback and without a key."""
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    assert command.main([*verify, "--patience", "1"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert local.clerk.secret_key not in err


def test_debug_shows_where_an_error_came_from(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same exit status, with the traceback and the log."""
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_live_wrongwrongwrongwrong")
    configured: list[Any] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: configured.append(options["level"]))
    assert command.main(["--debug"]) == 2
    assert configured == [logging.DEBUG]
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "sk_live" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--yes"],
        ["--verify", "--prune"],
        ["--verify", "--dry-run"],
        ["--verify", "--restart"],
        ["--verify", "--pace", "4"],
        ["--pace", "0"],
        ["--pace", "fast"],
        ["--concurrency", "0"],
        ["--patience", "soon"],
    ],
)
def test_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_pace_is_the_options_or_else_the_settings(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[float] = []

    def stop(settings: Settings, **options: Any) -> None:
        used.append(settings.clerk_convex_pace)
        raise SettingsError("enough")

    monkeypatch.setattr(command, "backfill", stop)
    monkeypatch.setattr(command, "nightly", stop)
    monkeypatch.setenv("CLERK_CONVEX_PACE", "0.5")
    given: list[list[str]] = [[], ["--pace", "4"], ["--nightly", "--pace", "8"]]
    assert [command.main(options) for options in given] == [2, 2, 2]
    assert used == [0.5, 4.0, 8.0]


def test_help_is_short_and_leads_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 30
    assert lines[2].startswith("  python -m clerk_convex.backfill")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_is_130_and_the_same_command_resumes(local: BackfillSet, number: signal.Signals) -> None:
    """After Ctrl-C or SIGTERM there is no traceback, and the next run does not wait for a minute."""
    local.sign_up(3000)
    with local.command("--concurrency", "1", CLERK_CONVEX_PACE="0.1") as process:  # for a minute
        assert eventually(lambda: local.newest() > 0)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "The same command resumes from here." in err
    assert "Traceback" not in err
    with local.command("--json") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Resuming a run" in err
    assert json.loads(out)["resumed"] is True
    assert local.differences() == []


def test_sigterm_acts_as_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without delay, even if nothing else happens. The earlier handlers are restored afterwards."""

    async def terminated(*arguments: Any) -> None:
        asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGTERM)
        await asyncio.sleep(60)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(command, "_run_once", terminated)
    begun = time.monotonic()
    assert command.main([]) == 130
    assert time.monotonic() - begun < 30
    assert "resumes from here" in capsys.readouterr().err
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_garbage_is_collected_rarely_during_a_run(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after the run the process has its usual thresholds."""
    before = gc.get_threshold()
    during: list[int] = []

    async def look(*arguments: Any) -> int:
        during.append(gc.get_threshold()[0])
        return 0

    monkeypatch.setattr(command, "_run_once", look)
    assert command.main([]) == 0
    assert during == [200_000]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_an_interrupted_comparison_says_that_nothing_was_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run_once", interrupted)
    assert command.main(["--verify"]) == 130
    assert "Nothing was written." in capsys.readouterr().err


def test_a_closed_stdout_is_no_error(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `| head`: the exit status is still right."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return 99

    replaced: list[int] = []
    monkeypatch.setattr("os.dup2", lambda one, other: replaced.append(other))
    monkeypatch.setattr(sys, "stdout", Gone())
    assert command.main([]) == 0
    assert replaced == [99]


def test_names_that_the_stream_cannot_encode_do_not_stop_the_command(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    local.functions.sync([upsert("user_é")])
    assert command.main(["--verify"]) == 1
    ascii_only.flush()
    assert b"user_?" in ascii_only.buffer.getvalue()


# ---------------------------------------------------------------- progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_gets_a_bar(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr. It is removed at the end."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    local.sign_up(3)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert command.main([]) == 0
    assert "[" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_the_bar_has_the_total_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    out, clock = io.StringIO(), Clock()
    bar = Bar(out, clock)
    bar.step(Progress("reading", 0, 7200))
    clock.now += 0.01
    bar.step(Progress("reading", 1, 7200))  # too soon to be drawn
    clock.now += 0.99
    bar.step(Progress("reading", 1800, 7200))
    clock.now += 1
    bar.step(Progress("reading", 1802, 800_000))
    bar.step(Progress("pruning", 5, None))
    clock.now += 1
    bar.step(Progress("pruning", 10, None))
    bar.note("Going on.")
    bar.end()
    drawn = out.getvalue().split("\r\x1b[2K")
    assert drawn[1:] == [
        "[........................] reading 0 of 7,200",
        "[######..................] reading 1,800 of 7,200 · 1,800/s · 3 s left",
        "[........................] reading 1,802 of 800,000 · 901/s · 14 min 46 s left",
        "pruning 10 · 5/s",
        "Going on.\n",
        "",
    ]


def test_a_line_is_never_longer_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = io.StringIO()
    Bar(out).step(Progress("reading", 0, 7200))
    assert len(out.getvalue().removeprefix("\r\x1b[2K")) == 19


def test_a_log_gets_a_plain_line_now_and_then() -> None:
    """At least ten seconds apart, and without control characters."""
    out, clock = io.StringIO(), Clock()
    lines = Lines(out, clock)
    for _ in range(25):
        lines.step(Progress("reading", int(clock.now), 20_000))
        clock.now += 1
    lines.note("Going on.")
    lines.end()
    assert out.getvalue().splitlines() == [
        "reading 110 of 20,000 · 1/s · 5 h 31 min left",
        "reading 120 of 20,000 · 1/s · 5 h 31 min left",
        "Going on.",
    ]


def test_the_default_listener_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It can be used without overriding a method."""

    class Listener(OnProgress):
        pass

    listener = Listener()
    listener.step(Progress("reading", 1, None))
    listener.note("Going on.")
    listener.end()
    assert capsys.readouterr() == ("", "")
