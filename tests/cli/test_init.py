"""clerk_convex/cli/init.py: what `clerk-convex init` says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clerk_convex.cli import main
from clerk_convex.cli.init import main as init
from tests.support.functions import ROOT
from tests.support.team import Team

SCHEMA = """import { defineSchema } from "convex/server";
export default defineSchema({});
"""


def run(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    status = main(["init", *options])
    out, err = capsys.readouterr()
    assert bool(err) == (status == 2)
    return status, out + err


def test_three_commands_from_a_project_to_a_row(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    """The first one says what it did and which the next ones are."""
    team.write("schema.ts", SCHEMA)
    count = sum(1 for _ in (team.template / "clerk").rglob("*.ts"))
    said = (
        "convex: functions 1.0.0; module users, table users\n"
        f"  written: clerk/ ({count} files), users.ts, crons.ts, auth.config.ts\n"
        "  completed: schema.ts\n"
        "Next: npx convex env set --prod CLERK_JWT_ISSUER_DOMAIN https://… (Clerk's Frontend API URL)\n"
        "Next: npx convex deploy\n"
    )
    assert run(capsys, "--write") == (0, said)
    same = "convex: functions 1.0.0; module users, table users\n  all files are there and current\n"
    assert run(capsys) == (0, same)
    assert run(capsys, "--check") == (0, same)


def test_lines_are_shown_before_they_are_written(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    team.write("schema.ts", SCHEMA)
    team.write("auth.config.ts", "export default make();\n")
    status, out = run(capsys)
    assert status == 1
    assert "  lacks lines: schema.ts\n" in out
    assert "+export default defineSchema({ ...clerkTables });\n" in out
    assert "auth.config.ts: The list of providers needs Clerk's session tokens:\n  { domain: " in out
    assert out.endswith("Next: add the lines above by hand\nNext: clerk-convex init --write\n")
    status, out = run(capsys, "--write")
    assert (status, "Next: add the lines above by hand" in out, "--write" in out) == (1, True, False)


def test_an_upgrade_says_what_it_did(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys)
    team.edit(
        "clerk/state.ts",
        "row = await usersOf(ctx, clerkId).first()",
        "row = await usersOf(ctx, clerkId).unique()",
    )
    team.edit("clerk/access.ts", '"admin" && user', '"boss" && user')
    status, out = run(capsys, "--check")
    assert (status, out.splitlines()[1:]) == (0, ["  changed by you: clerk/state.ts"])
    team.install(
        "1.1.0",
        state=("row = await usersOf(ctx, clerkId).first()", "row = await usersOf(ctx, clerkId).take(1)"),
    )
    for options in (["--check"], []):
        status, out = run(capsys, *options)
        assert status == 1
        assert out.splitlines() == [
            "convex: functions 1.0.0, of this package 1.1.0; module users, table users",
            "  old, and changed by you in the same place: clerk/state.ts",
            "  old: clerk/version.ts",
            "Next: clerk-convex init --upgrade",
        ]
    status, out = run(capsys, "--upgrade")
    state = "convex/clerk/state.ts"
    assert status == 1
    assert out.splitlines()[1:] == [
        "  ours is beside it as .new: clerk/state.ts",
        "  replaced: clerk/version.ts",
        f"Next: merge {state}.new into {state}, and remove {state}.new",
    ]
    status, out = run(capsys, "--upgrade")
    assert (status, out.splitlines()[1]) == (1, "  not merged yet: clerk/state.ts")
    (team.folder / "clerk/state.ts.new").unlink()
    assert run(capsys, "--upgrade")[0] == 0
    assert '"boss" && user' in team.read("clerk/access.ts")


def test_an_upgrade_and_lines_come_in_one_command(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys)
    team.install("1.1.0")
    team.write("schema.ts", SCHEMA)
    assert run(capsys)[1].endswith("Next: clerk-convex init --upgrade --write\n")
    status, out = run(capsys, "--upgrade", "--write")
    assert (status, out.splitlines()[-1]) == (0, "Next: npx convex deploy")


def test_another_module_must_be_told_to_the_service(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    (team.folder.parent / "my app").mkdir()
    status, out = run(capsys, "--into", "my app/functions", "--module", "clerkUsers")
    assert status == 0
    assert out.startswith("my app/functions: functions 1.0.0; module clerkUsers, table users\n")
    assert "Next: set CONVEX_USERS_MODULE=clerkUsers for the service\n" in out
    (team.folder.parent / "my app/functions/crons.ts").unlink()
    status, out = run(capsys, "--check", "--into", "my app/functions")
    assert (status, out.splitlines()[-1]) == (1, "Next: clerk-convex init --into 'my app/functions'")


def test_the_result_as_json(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys)
    team.install("1.1.0")
    team.write("schema.ts", SCHEMA)
    status, out = run(capsys, "--check", "--json")
    found = json.loads(out)
    lines = found["files"].pop()
    assert lines.pop("lines")[0] == "--- schema.ts"
    assert lines == {"path": "schema.ts", "kind": "lacks", "done": False}
    assert (status, found) == (
        1,
        {
            "ok": False,
            "folder": "convex",
            "version": "1.1.0",
            "previousVersion": "1.0.0",
            "module": "users",
            "table": "users",
            "files": [{"path": "clerk/version.ts", "kind": "old", "done": False}],
            "next": ["clerk-convex init --upgrade --write"],
        },
    )


def test_a_name_that_is_taken_is_2(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    team.write("users.ts", "export const own = 1;")
    taken = "convex/users.ts is yours. Give the module of our functions another name: --module clerkUsers.\n"
    assert run(capsys) == (2, taken)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "--module",
            "users.ts",
            "--module: write a path in convex/ such as clerkUsers or lib/users, without .ts.",
        ),
        ("--module", "../users", "--module: write a path"),
        ("--module", "schema", "--module: schema has another meaning. Take clerkUsers"),
        ("--module", "clerk/users", "--module: clerk/users has another meaning."),
        ("--table", "my users", "--table: write up to 64 letters"),
        ("--table", "_users", "--table: write up to 64 letters"),
        ("--table", "a" * 65, "--table: write up to 64 letters"),
        ("--table", "clerkAudit", "--table: clerkAudit is another table."),
    ],
)
def test_a_name_that_cannot_be_is_2(
    team: Team, capsys: pytest.CaptureFixture[str], name: str, value: str, message: str
) -> None:
    status, out = run(capsys, name, value)
    assert (status, out[: len(message)]) == (2, message)
    assert not team.files()


@pytest.mark.parametrize("option", ["--upgrade", "--write", "--module=x", "--table=x"])
def test_a_check_takes_no_other_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        init(["--check", option])
    assert ended.value.code == 2
    assert f"--check cannot be combined with {option.split('=')[0]}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--into", "--module", "--table"])
def test_an_empty_value_is_2(team: Team, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As of a shell's variable that is not set. An empty folder would be the current one."""
    with pytest.raises(SystemExit) as ended:
        main(["init", option, ""])
    assert ended.value.code == 2
    assert f"{option} is empty" in capsys.readouterr().err


def test_the_folder_is_the_one_of_convex_json(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    Path("convex.json").write_text('{"functions": "src/backend/"}')
    assert run(capsys)[1].startswith("src/backend: ")
    assert Path("src/backend/clerk/tables.ts").is_file()
    assert not team.files()
    Path("convex.json").write_text("{}")
    assert run(capsys)[1].startswith("convex: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "convex.json is not JSON."),
        ("[]", 'convex.json does not name a folder in "functions".'),
        ('{"functions": 7}', 'convex.json does not name a folder in "functions".'),
        ('{"functions": ""}', 'convex.json does not name a folder in "functions".'),
    ],
)
def test_a_malformed_convex_json_is_2(
    team: Team, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    Path("convex.json").write_text(content)
    status, out = run(capsys)
    assert (status, out[: len(message)]) == (2, message)


def test_where_there_is_no_project_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Python service beside its Convex project has a folder of its own."""
    monkeypatch.chdir(tmp_path)
    status, out = run(capsys)
    assert (status, "Run this in the folder of your Convex project" in out) == (2, True)
    status, out = run(capsys, "--into", "app/convex")
    assert (status, out) == (2, "--into: there is no folder app.\n")
    assert not list(tmp_path.iterdir())


def test_the_functions_of_the_package_itself_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    status, out = run(capsys)
    assert (status, "holds the functions of this package itself" in out) == (2, True)


def test_an_interrupted_run_says_that_it_can_be_completed(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    assert main(["init"]) == 130
    assert capsys.readouterr().err == "Interrupted. The same command completes it.\n"
