"""scripts/mutants without mutants: the script itself installs the tools that make them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.mutants import __main__ as mutants
from tests.mutants.__main__ import PATHS, ROOT, main


def test_every_file_has_tests() -> None:
    """The files that it changes, and the tests that must notice the changes, exist."""
    for patterns in PATHS.values():
        for pattern in patterns:
            paths = [path.relative_to(ROOT) for path in ROOT.glob(pattern)]
            assert paths
            for path in paths:
                for word in mutants.tests_of(path):
                    assert not word.startswith("tests/") or (ROOT / word).exists(), (path, word)


def test_noticed_and_surviving_mutants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mutant is tested in the copy and reported with its place. The original file does not change."""
    path = Path("clerk_convex/net/rate.py")
    text = (ROOT / path).read_text()
    texts = [text.replace("_BURST = 0.25", f"_BURST = {number}") for number in ("0.5", "1 / 4")]
    script = f"import runpy; assert runpy.run_path({str(path)!r})['_BURST'] == 0.25"
    monkeypatch.setattr(mutants, "sample", lambda *args: texts)
    monkeypatch.setattr(mutants, "tests_of", lambda path: [sys.executable, "-c", script])
    monkeypatch.setattr(mutants, "types_of", lambda path: ["true"])
    monkeypatch.setattr(sys, "argv", ["mutants", str(ROOT / path)])
    assert main() == 0
    line = next(number for number, it in enumerate(text.splitlines(), 1) if it.startswith("_BURST = 0.25"))
    before = text.splitlines()[line - 1]
    assert capsys.readouterr().out.splitlines() == [
        "",
        "survived",
        f"{path}:{line}",
        f"-{before}",
        f"+{before.replace('0.25', '1 / 4')}",
        "",
        f"{path}: 1 of 2 noticed",
        "",
        "1 of 2 noticed, 50%.",
    ]
    assert (ROOT / path).read_text() == text


def test_the_time_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """After the minutes are over no further mutant is tested."""
    monkeypatch.setattr(mutants, "sample", lambda *args: ["x"])
    monkeypatch.setattr(sys, "argv", ["mutants", "--python", "--minutes", "0"])
    assert main() == 0
    assert capsys.readouterr().out == "\n0 of 0 noticed, 0%.\n"
