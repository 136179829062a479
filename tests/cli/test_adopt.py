"""clerk_convex/cli/adopt.py: what the command says, where, and with which exit status."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from clerk_convex.backfill.session import Session
from clerk_convex.cli import adopt as command
from clerk_convex.local.clerk import LocalClerk
from tests.support.backfill_set import BackfillSet, hasty
from tests.support.functions import Functions
from tests.support.loose import insert, loose_project


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackfillSet]:
    """Return a set with one user, ada@example.com."""
    folder = tmp_path_factory.mktemp("project")
    with loose_project(folder).running() as functions, LocalClerk(rate_limit=0) as clerk:
        clerk.create_user(email_address=["ada@example.com"])
        yield BackfillSet(clerk, functions)


@pytest.fixture
def functions(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> Functions:
    """Return the functions with empty tables, and name the set in the environment."""
    hasty(monkeypatch)
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    local.functions.clear()
    return local.functions


def test_all_linked_is_0(functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
    """The result is on stdout and names the next command; nothing else is."""
    assert command.main(["--by-email"]) == 0
    assert capsys.readouterr().out == "No row is without a Clerk id. Next: clerk-convex adopt --check\n"
    insert(functions, {"email": "ada@example.com"})
    assert command.main(["--by-email", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("1 row without a Clerk id: 1 would be linked, 0 not, in ")
    assert err == ""
    assert command.main(["--by-email"]) == 0
    assert capsys.readouterr().out.endswith("Next: clerk-convex backfill, then clerk-convex adopt --check\n")


def test_rows_that_are_left_are_1(
    local: BackfillSet, functions: Functions, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are named by Convex's id, and never by what is in them."""
    (user,) = local.clerk.users()
    ada, bob = insert(
        functions,
        {"email": "ada@example.com", "name": user["id"], "tokenIdentifier": "bob@example.com"},
        {"email": "bob@example.com", "tokenIdentifier": "https://clerk.example.com|user_2"},
    )
    assert command.main(["--by-email", "--column", "tokenIdentifier", "--json"]) == 1
    out = capsys.readouterr().out
    assert "example.com" not in out
    report = json.loads(out)
    assert (report["ok"], report["by"], report["column"]) == (False, "email", "tokenIdentifier")
    assert report["notLinked"] == {"no value": 1, "no user": 1}
    assert {row for example in report["examples"] for row in example["rows"]} == {ada, bob}
    assert command.main(["--by-token"]) == 1
    assert "1 no user: Clerk has no such user" in capsys.readouterr().out
    assert command.main(["--by-column", "name", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["linked"] == 1


def test_the_check_is_0_when_the_tight_schema_takes_all(
    local: BackfillSet, functions: Functions, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = insert(functions, {"email": "ada@example.com"})
    assert command.main(["--check"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("Not yet: the final schema would refuse 1 of 1 row.\n")
    assert f"  {row}  clerkId is missing, status is missing" in out
    assert "Next: link the 1 row without a Clerk id (clerk-convex adopt --help)" in out
    assert command.main(["--by-email"]) == 0
    capsys.readouterr()
    (user,) = local.clerk.users()
    assert command.main(["--check"]) == 1
    out = capsys.readouterr().out
    assert f"  {row} {user['id']}  status is missing" in out
    assert out.endswith("Next: run clerk-convex backfill --prune, which fills the linked rows\n")
    assert local.run().ok
    assert command.main(["--check", "--json"]) == 0
    answer = {"ready": True, "rows": 1, "refused": 0, "unlinked": 0, "examples": []}
    assert json.loads(capsys.readouterr().out) == answer
    assert command.main(["--check"]) == 0
    assert capsys.readouterr().out.startswith(
        "Ready: the final schema takes all of 1 row. Next: replace loose"
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "one of the arguments --by-column --by-token --by-email --check is required"),
        (["--by-email", "--by-token"], "not allowed with argument --by-email"),
        (["--check", "--dry-run"], "--check cannot be combined with --dry-run"),
        (["--by-column", "x", "--column", "y"], "--column belongs to --by-token or --by-email"),
    ],
)
def test_usage_is_2(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"CLERK_SECRET_KEY": ""}, 2, "CLERK_SECRET_KEY"),
        ({"CLERK_SECRET_KEY": "sk_live_wrongwrongwrongwrong"}, 2, "CLERK_SECRET_KEY was rejected"),
        ({"CONVEX_DEPLOY_KEY": "prod:wrong|wrong"}, 2, "CONVEX_DEPLOY_KEY was rejected"),
        ({"CONVEX_USERS_MODULE": "elsewhere"}, 2, "npx convex deploy"),
    ],
)
def test_what_is_wrong_is_one_line(
    functions: Functions,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    status: int,
    said: str,
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    assert command.main(["--by-email"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by-email"], "Interrupted. The same command continues from here."),
        (["--by-email", "--dry-run"], "Interrupted. Nothing was written."),
        (["--check"], "Interrupted. Nothing was written."),
    ],
)
def test_ctrl_c_is_130(
    functions: Functions,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    async def interrupted(self: Session, *call: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    monkeypatch.setattr(Session, "call", interrupted)
    assert command.main(arguments) == 130
    assert capsys.readouterr().err == f"{said}\n"


def test_a_terminal_shows_a_bar(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    insert(functions, {"email": "nobody@example.com"})
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert command.main(["--by-email"]) == 1
    assert "matching 1" in capsys.readouterr().err
