"""The nightly command as cron runs it: from sh, without an environment and without a terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clerk_convex.backfill.reading import plan
from clerk_convex.cli import backfill as command
from clerk_convex.cli.env_file import load_env_file
from clerk_convex.errors import SettingsError
from clerk_convex.local.clerk import Faults
from tests.support.backfill_set import BackfillSet, hasty, shared_clerk
from tests.support.functions import ROOT, Functions, Project, upsert

# A team's own logic that refuses a user every time.
REFUSES = 'if (change.clerkId === "user_refused") throw new Error("no");'


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.replace("clerk/onUserChange.ts", "Promise<void> {}", f"Promise<void> {{ {REFUSES} }}")
    with project.running() as functions:
        yield functions


@pytest.fixture
def local(functions: Functions) -> BackfillSet:
    return BackfillSet(shared_clerk(), functions)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment that a test may change, without the variables of pytest."""
    environment: dict[str, str] = {}
    monkeypatch.setattr("dotenv.main.os", SimpleNamespace(environ=environment, path=os.path))
    return environment


def write(folder: Path, settings: dict[str, str], *, end: str = "\n") -> Path:
    file = folder / ".env"
    file.write_bytes("".join(f"{name}={value}{end}" for name, value in settings.items()).encode())
    return file


def cron(folder: Path, *options: str) -> tuple[int, str, str]:
    """Run the documented crontab line in a folder with a .env. Return its status, stdout and stderr."""
    python = shlex.quote(sys.executable)
    line = f"cd {shlex.quote(str(folder))} && {python} -m clerk_convex.backfill --nightly --env-file .env"
    done = subprocess.run(
        ["/bin/sh", "-c", " ".join([line, *options])],
        env={"HOME": "/", "LOGNAME": "app", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def in_process(local: BackfillSet, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Run the same command in this process, which is quicker, with the environment's settings."""
    hasty(monkeypatch)
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.05)
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    return command.main(["--nightly", *options])


# ---------------------------------------------------------------- as cron runs it


@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_good_run_prints_nothing(local: BackfillSet, tmp_path: Path, quote: str, end: str) -> None:
    """The deploy key has a | in it, as in Convex's dashboard, with or without quotes, and the lines may end
    with CRLF. Without any output cron sends no mail."""
    local.sign_up(3)
    assert "|" in local.functions.convex.deploy_key
    settings = {name: f"{quote}{value}{quote}" for name, value in local.environment().items()}
    write(tmp_path, settings, end=end)
    assert cron(tmp_path) == (0, "", "")
    assert local.differences() == []


def test_a_refused_user_is_named_and_the_rest_is_verified(local: BackfillSet, tmp_path: Path) -> None:
    """The status is 1. stderr has the refused user and the result of the verification."""
    local.sign_up(2)
    local.clerk.create_user(id="user_refused", first_name="Refused")
    write(tmp_path, local.environment())
    status, out, err = cron(tmp_path)
    assert (status, out) == (1, "")
    assert "user_refused  Convex refused" in err
    assert "2 created, 1 not readable or refused" in err
    assert "Not equal: 3 users in Clerk, 2 rows in Convex; 1 missing" in err
    assert local.clerk.secret_key not in err


def test_an_outage_of_clerk_is_reported_on_stderr(local: BackfillSet, tmp_path: Path) -> None:
    """Once, when the patience is over. Nothing is verified then."""
    write(tmp_path, local.environment(CLERK_API_URL="http://127.0.0.1:9"))
    assert cron(tmp_path, "--patience", "1") == (
        1,
        "",
        "Clerk cannot be reached. Is there a network, and is CLERK_API_URL its address?\n",
    )


def test_a_wrong_key_is_reported_on_stderr(local: BackfillSet, tmp_path: Path) -> None:
    write(tmp_path, local.environment(CONVEX_DEPLOY_KEY="prod:happy-animal-123|eyJ2MiI6IjAifQ=="))
    status, out, err = cron(tmp_path)
    assert (status, out) == (2, "")
    assert err.startswith("Convex answered 401 (BadAdminKey): CONVEX_DEPLOY_KEY was rejected.")
    assert err.count("\n") == 1
    assert "eyJ2" not in err


def test_a_key_of_another_instance_is_reported_on_stderr(local: BackfillSet, tmp_path: Path) -> None:
    local.sign_up(1)
    write(tmp_path, local.environment(CLERK_INSTANCE_ID="ins_other"))
    status, out, err = cron(tmp_path)
    assert (status, out) == (2, "")
    assert "CLERK_INSTANCE_ID" in err
    assert err.count("\n") == 1
    assert local.functions.rows() == {}


# ---------------------------------------------------------------- what it does


def test_nightly_prunes_too(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local.sign_up(2)
    local.functions.sync([upsert("user_ghost")])
    assert in_process(local, monkeypatch) == 0
    assert local.differences() == []
    assert capsys.readouterr() == ("", "")


def test_a_refused_prune_is_reported_and_verified(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local.sign_up(2)
    local.functions.sync([upsert(f"user_ghost{number}") for number in range(11)])
    assert in_process(local, monkeypatch) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Nothing was pruned" in err
    assert "11 extra" in err
    assert len(local.functions.rows()) == 13


def test_a_difference_after_a_good_run_is_reported(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of the run itself is not printed, because it needs no action. Here somebody has deleted a
    user by hand, which is final."""
    deleted, _ = local.sign_up(2)
    local.functions.mutation("users:deleteUser", {"clerkId": deleted})
    assert in_process(local, monkeypatch) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Not equal: 2 users in Clerk, 1 rows in Convex; 1 missing")


@pytest.mark.parametrize(("revoked", "expected"), [("clerk", 2), ("nobody", 1)])
def test_a_run_that_stops_early_is_reported_and_not_verified(
    local: BackfillSet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    revoked: str,
    expected: int,
) -> None:
    """The verification is not started, because it would stop too."""
    local.sign_up(2)

    async def stop(*arguments: Any) -> Any:
        if revoked == "clerk":
            local.clerk.secret_key = "sk_live_" + "1" * 20
        else:
            local.clerk.faults = Faults(status=503)
        return await plan(*arguments)

    monkeypatch.setattr("clerk_convex.backfill.run.plan", stop)
    assert in_process(local, monkeypatch, "--patience", "1") == expected
    out, err = capsys.readouterr()
    assert out == ""
    assert "Stopped before the end: Clerk answered" in err
    assert "qual: " not in err


@pytest.mark.parametrize("options", ["--verify", "--dry-run", "--prune", "--yes", "--json"])
def test_other_modes_cannot_be_combined_with_nightly(
    options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--nightly", options])
    assert ended.value.code == 2
    assert f"--nightly cannot be combined with {options}" in capsys.readouterr().err


# ---------------------------------------------------------------- --env-file


def test_values_are_read_as_uvicorn_reads_them(tmp_path: Path, environment: dict[str, str]) -> None:
    """`export`, quotes, comments, spaces and characters that a shell would run; `${NAME}` is replaced."""
    file = tmp_path / ".env"
    file.write_bytes(
        b"\xef\xbb\xbf# with a byte order mark\r\n"
        b"CONVEX_DEPLOY_KEY=prod:happy-animal-123|eyJ2MiI6IjAifQ==\r\n"
        b"export CONVEX_URL=https://happy-animal-123.convex.cloud # the production one\r\n"
        b'DOUBLE="a #b c"\r\n'
        b"SINGLE='a #b\\n c'\r\n"
        b"HASH=a#b\n"
        b"DOLLAR=pa$$w$ord;&|`date`\n"
        b"SPACED = a b\n"
        b"NESTED=${HASH}/c\n"
        b"EMPTY=\n"
        b"BARE\n"
        b"LAST=1"
    )
    load_env_file(str(file))
    assert environment == {
        "CONVEX_DEPLOY_KEY": "prod:happy-animal-123|eyJ2MiI6IjAifQ==",
        "CONVEX_URL": "https://happy-animal-123.convex.cloud",
        "DOUBLE": "a #b c",
        "SINGLE": "a #b\\n c",
        "HASH": "a#b",
        "DOLLAR": "pa$$w$ord;&|`date`",
        "SPACED": "a b",
        "NESTED": "a#b/c",
        "EMPTY": "",
        "LAST": "1",
    }


def test_the_environment_wins(tmp_path: Path, environment: dict[str, str]) -> None:
    """As with uvicorn, node and docker compose, a variable of the environment overrides the file."""
    environment["CONVEX_URL"] = "http://127.0.0.1:1"
    load_env_file(str(write(tmp_path, {"CONVEX_URL": "http://127.0.0.1:2", "CLERK_INSTANCE_ID": "ins_1"})))
    assert environment == {"CONVEX_URL": "http://127.0.0.1:1", "CLERK_INSTANCE_ID": "ins_1"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"--env-file: .*/\.env cannot be read \(No such file or directory\)\."),
        (
            b'A=1\nCLERK_SECRET_KEY="sk_live_secret\nB=2\n',
            r"line 2 of .*/\.env cannot be read\. Write NAME=va",
        ),
        (b"A=1\n\n=sk_live_secret\n", r"line \d of .*/\.env cannot be read\."),
        (b"A=sk_live_secret\xff\n", r"\.env is not UTF-8 text\. Save it as UTF-8\."),
        (b"A=sk_live_\x00secret\n", r"\.env is not a dotenv file\."),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, environment: dict[str, str], content: bytes | None, said: str
) -> None:
    """The error has the line number and no content of the file, and no variable is set."""
    if content is not None:
        (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SettingsError, match=said) as caught:
        load_env_file(str(tmp_path / ".env"))
    assert "secret" not in str(caught.value)
    assert environment == {}


def test_the_command_reports_an_unreadable_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--verify", "--env-file", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"--env-file: {tmp_path} cannot be read (Is a directory).\n"


def test_every_mode_takes_the_file(local: BackfillSet, tmp_path: Path) -> None:
    """Here without a shell, and from another folder."""
    local.sign_up(1)
    file = write(tmp_path, local.environment())
    done = subprocess.run(
        [sys.executable, "-m", "clerk_convex.backfill", "--dry-run", "--env-file", str(file)],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 would be created" in done.stdout
