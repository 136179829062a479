"""clerk_convex/cli/main.py: the command `clerk-convex` and its subcommands."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import clerk_convex
from clerk_convex.cli import main
from clerk_convex.cli.main import COMMANDS

SCRIPT = Path(sys.executable).with_name("clerk-convex")


def test_the_installed_command_and_the_module_are_the_same() -> None:
    for command in ([str(SCRIPT)], [sys.executable, "-m", "clerk_convex"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"{clerk_convex.__version__}\n"


def test_help_is_short_leads_with_an_example_and_names_each_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 30
    assert out.splitlines()[2].startswith("  clerk-convex ")
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in out
        assert line in out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Under 30 lines, leads with an example, and says what each exit status means."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) < 30
    assert lines[0].startswith(f"usage: clerk-convex {name} [options]")
    assert lines[2].startswith(("  clerk-convex ", "  python -m clerk_convex."))
    assert "exit status: 0 " in out


@pytest.mark.parametrize("name", COMMANDS)
def test_usage_is_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--no-such-option"])
    assert ended.value.code == 2
    assert f"usage: clerk-convex {name}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--no-such-option"], ["no-such-command"]])
def test_usage_without_a_command_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: clerk-convex COMMAND [options]" in capsys.readouterr().err


def test_a_command_loads_no_other() -> None:
    """`clerk-convex --version` starts in a moment: it imports no command."""
    code = "import sys, clerk_convex.cli; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules = {module for module, _ in COMMANDS.values()}
    assert not modules & set(imported.stdout.split())
    for module in modules:
        assert callable(importlib.import_module(module).main)


def test_modules_of_the_current_folder_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python -m` does: CLERK_CONVEX_FIELDS names a module of the team's, which is seldom installed."""
    for before in (["/lib"], ["", "/lib"]):
        monkeypatch.setattr(sys, "path", before)
        with pytest.raises(SystemExit):
            main(["doctor", "--help"])
        assert sys.path == ["", "/lib"]


@pytest.mark.parametrize(
    ("command", "redirection", "status", "said"),
    [
        ("init --check", ">&-", 1, ""),
        (
            "init --check",
            ">/dev/full",
            1,
            "The result cannot be written to stdout (No space left on device).\n",
        ),
        ("init --into nowhere/at/all", "2>&-", 2, ""),
    ],
)
def test_output_that_nobody_takes_is_no_traceback(
    command: str, redirection: str, status: int, said: str, tmp_path: Path
) -> None:
    """A closed output, or one on a full disk: the exit status still says how the command ended."""
    (tmp_path / "package.json").write_text("{}")
    ran = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m clerk_convex {command} {redirection}', sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (status, "", said)
