"""scripts/smoke: the checks pass on a local Convex and fail on a broken one; one in use is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from clerk_convex.local.convex import LocalConvex
from tests.smoke import checks, target
from tests.smoke.__main__ import Report, Result, main
from tests.smoke.checks import CHECKS, ONLY_REAL
from tests.smoke.project import Signer, make_project
from tests.smoke.target import KEY, URL, Refused, Target, remote
from tests.support.functions import ROOT
from tests.support.stand_in import StandIn, answer

FAKE_CLI = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with open(here / "calls", "a") as calls:
    print(*sys.argv[1:], pathlib.Path("convex/smoke.ts").exists(), file=calls)
said = json.loads((here / "answers").read_text()).get(" ".join(sys.argv[1:3]), "")
sys.exit(said[1:]) if said.startswith("!") else print(said)
"""


def test_checks_pass_on_a_local_convex(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, and no row is left."""
    assert main(["--local", "--json"]) == 0, capsys.readouterr()
    report = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in report["checks"]] == [
        *(check.__name__.replace("_", " ") for check in CHECKS),
        "cleaned up",
    ]
    assert all(check["ok"] for check in report["checks"])
    assert (report["ok"], report["is_local"], report["only_real"]) == (True, True, list(ONLY_REAL))


# What each check is there for, taken out of the functions.
BREAKS = (
    ("clerk/access.ts", 'identity.sts === "pending"', 'identity.sts === "never"'),
    ("clerk/access.ts", "  if (isAdmin(user)) return user;", "  if (user !== null) return user;"),
    (
        "clerk/admin/actions.ts",
        "  if (!removesAdmin || target",
        "  if (removesAdmin) return null;\n  if (target",
    ),
    ("clerk/users/text.ts", '.replace(DIACRITICS, "")', ""),
    ("clerk/users/sorted.ts", ".order(order);", '.order("asc");'),
    ("clerk/order/rules.ts", "if (gone && ", "if (false && gone && "),
    ("users.ts", "export const exportUsers = internalQuery(", "export const exportUsers = query("),
    ("crons.ts", 'crons.daily("prune the Clerk audit log"', 'crons.daily("another"'),
)


def test_checks_fail_where_something_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each failure leaves the others their say."""
    monkeypatch.setattr(checks, "PATIENCE", 5.0)
    signer = Signer()
    make_project(tmp_path, signer)
    for name, text, instead in BREAKS:
        file = tmp_path / "convex" / name
        before = file.read_text()
        assert before.count(text) == 1, f"{text} is not in {name} once"
        file.write_text(before.replace(text, instead))

    @contextmanager
    def broken() -> Iterator[Target]:
        with LocalConvex(project=tmp_path) as convex:
            yield Target("broken", convex.url, convex.deploy_key, signer, 1.0, is_local=True)

    names = ("permissions", "tokens", "batches", "races", "search", "pages", "demotion", "crons")
    assert main([f"--only={name}" for name in names] + ["--json"], broken) == 1
    report = json.loads(capsys.readouterr().out)
    assert {check["name"]: check["ok"] for check in report["checks"]} == {
        **dict.fromkeys(names, False),
        "cleaned up": True,
    }


def test_the_project_is_type_checked(tmp_path: Path) -> None:
    """As `npx convex deploy` does it: with generated types and the project's tsconfig."""
    make_project(tmp_path, Signer())
    binaries = ROOT / "node_modules/.bin"
    generate = ["convex", "codegen", "--system-udfs", "--typecheck", "disable"]
    for command in (generate, ["tsc", "-p", "convex"]):
        ran = subprocess.run(
            [binaries / command[0], *command[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


class Cli:
    """Convex's command line, in place of the real one."""

    def __init__(self, folder: Path) -> None:
        (folder / "fake.py").write_text(FAKE_CLI)
        self.command = (sys.executable, str(folder / "fake.py"))
        self._folder = folder
        self.answers: dict[str, str] = {
            "data": "clerkAudit\nusers",
            "function-spec": json.dumps(
                {"functions": [{"identifier": "users.js:getUsers"}, {"path": "/http"}]}
            ),
        }

    @property
    def calls(self) -> list[str]:
        file = self._folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @contextmanager
    def deployed(self, url: str, key: str = "name|0123456789abcdef") -> Iterator[Target]:
        (self._folder / "answers").write_text(json.dumps(self.answers))
        with remote({URL: url, KEY: key}, self.command) as found:
            yield found


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def up(convex: StandIn) -> StandIn:
    convex.behave(then=answer(200, b'"1.0"'))
    return convex


def test_an_empty_deployment_is_deployed_to_twice(cli: Cli, up: StandIn) -> None:
    """First with the functions that the checks need, in the end without them."""
    with cli.deployed(up.url) as found:
        assert (found.url, found.silence, found.is_local) == (up.url, 60.0, False)
        assert "0123456789abcdef" not in repr(found)
        assert cli.calls[-1] == "deploy --yes True"
    assert cli.calls == [
        "data True",
        "data clerkAudit --limit 1 --format jsonLines True",
        "data users --limit 1 --format jsonLines True",
        "function-spec True",
        "deploy --yes True",
        "deploy --yes False",
    ]


def test_a_failure_still_deploys_again(cli: Cli, up: StandIn) -> None:
    with pytest.raises(KeyboardInterrupt), cli.deployed(up.url):
        raise KeyboardInterrupt
    assert cli.calls[-1] == "deploy --yes False"


@pytest.mark.parametrize(
    ("command", "said", "message"),
    [
        ("data users", '{"clerkId": "user_private"}', "has rows in users"),
        (
            "function-spec",
            '{"functions": [{"identifier": "lib/notes.js:add"}]}',
            r"another project \(lib/notes\)",
        ),
        (
            "data",
            "!401 for name|0123456789abcdef\nTry again",
            r"npx convex data failed: 401 for \*\*\* Try again",
        ),
        ("deploy --yes", "!Schema validation failed.", "npx convex deploy failed: Schema validation failed."),
    ],
)
def test_a_deployment_that_is_in_use_is_refused(
    cli: Cli, up: StandIn, command: str, said: str, message: str
) -> None:
    """Before anything is deployed; and no error quotes a row or the key."""
    cli.answers[command] = said
    with pytest.raises(Refused, match=message) as refused, cli.deployed(up.url):
        pytest.fail("it was not refused")
    assert "private" not in str(refused.value)
    assert ("deploy" in command) or not any(call.startswith("deploy") for call in cli.calls)


def test_wrong_variables_are_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their names, without their values, and before Convex's command line is called."""
    with pytest.raises(Refused, match=f"{URL}, {KEY}.*--local"), remote({}, cli.command):
        pytest.fail("it was not refused")
    url = "https://happy-animal-123.convex.cloud"
    wrong = pytest.raises(Refused, match=f"{KEY} is not a whole deploy key")
    with wrong as refused, cli.deployed(url, "half-a-key"):
        pytest.fail("it was not refused")
    assert "half-a-key" not in str(refused.value)
    with pytest.raises(Refused, match="No Convex deployment answers"), cli.deployed("http://127.0.0.1:9"):
        pytest.fail("it was not refused")
    assert cli.calls == []


def test_a_command_line_that_is_missing_or_hangs_is_refused(
    cli: Cli, up: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = remote({URL: up.url, KEY: "name|key"}, ("/no/such/program",))
    with pytest.raises(Refused, match="Run scripts/install"), missing:
        pytest.fail("it was not refused")
    monkeypatch.setattr(target, "CLI_SECONDS", 0.01)
    with pytest.raises(Refused, match="npx convex data did not end within"), cli.deployed(up.url):
        pytest.fail("it was not refused")


def test_a_refusal_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> NoReturn:
        raise Refused("The deployment has rows.")

    assert main([], refused) == 2
    assert capsys.readouterr() == ("", "The deployment has rows.\n")


def test_report_for_a_person() -> None:
    """What was found and measured; what only a real deployment shows is said where it was not."""
    good = Result("pages", True, "3 users", {"time (ms)": 1234.5}, 1.0)
    bad = Result("races", False, "AssertionError: two admins", {}, 1.0)
    report = str(Report("local", "1.2.3", True, [good, bad]))
    assert "✓ pages: 3 users\n      time (ms): 1,234.5\n  ✗ races: AssertionError: two admins" in report
    assert "1 of 2 checks passed." in report
    assert all(what in report for what in ONLY_REAL)
    assert not any(what in str(Report("host", "1.2.3", False, [good])) for what in ONLY_REAL)
