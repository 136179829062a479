"""clerk_convex/cli/main.py: the command `clerk-convex` and its subcommands."""

from __future__ import annotations

import errno
import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import clerk_convex
from clerk_convex.cli import main
from clerk_convex.cli.main import COMMANDS
from tests.support.functions import ROOT

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
    importlib.import_module(COMMANDS["doctor"][0])  # it cannot be found below
    for before in (["/lib"], ["", "/lib"]):
        monkeypatch.setattr(sys, "path", before)
        with pytest.raises(SystemExit):
            main(["doctor", "--help"])
        assert sys.path == ["", "/lib"]


def test_a_closed_output_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell's `>&- 2>&-` makes it. The exit status still says how the command ended."""
    (tmp_path / "package.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["init", "--check"]) == 1
    assert main(["init", "--into", "nowhere/at/all"]) == 2
    for name in list(os.environ):
        if name.startswith(("CLERK_", "CONVEX_")):
            monkeypatch.delenv(name)
    for command in (["backfill"], ["adopt", "--by-email"], ["doctor", "--fast"]):
        assert main(command) == (1 if command[0] == "doctor" else 2), "settings are missing"


def test_a_result_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk. It is not taken for a result."""
    assert main(["init", "--into", str(tmp_path)]) == 0

    def fail(text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (tmp_path / "out").open("w") as out:
        full = SimpleNamespace(write=fail, fileno=out.fileno)
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["init", "--check", "--into", str(tmp_path)]) == 1
    said = "The result cannot be written to stdout (No space left on device).\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("module", ["clerk_convex", "clerk_convex.backfill"])
def test_each_module_runs_the_command(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [module, "--no-such-option"])
    file = ROOT / module.replace(".", "/") / "__main__.py"
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file), run_name="__main__")
    assert ended.value.code == 2
