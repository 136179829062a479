"""scripts/release: it builds only a committed version that has no tag and has a date in the changelog."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.functions import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with the files that the script checks before it builds."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "clerk_convex").mkdir()
    shutil.copy(ROOT / "scripts/release", tmp_path / "scripts/release")
    install = tmp_path / "scripts/install"
    install.write_text("#!/bin/sh\n")
    install.chmod(0o755)
    (tmp_path / "clerk_convex/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3, 2026-11-25\n")
    (tmp_path / "convex/clerk").mkdir(parents=True)
    (tmp_path / "convex/clerk/version.ts").write_text('export const VERSION = "1.2.3";\n')
    run(tmp_path, "git", "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def commit(folder: Path) -> None:
    run(folder, "git", "add", "--all")
    name = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    made = run(folder, "git", *name, "commit", "--quiet", "--message", "Change")
    assert made.returncode == 0, made


def refusal(folder: Path) -> str:
    ran = run(folder, "scripts/release")
    assert ran.returncode == 1, ran
    assert not (folder / "dist").exists()
    return ran.stderr


def test_uncommitted_changes_are_refused(project: Path) -> None:
    (project / "new").write_text("")
    assert "commit or stash" in refusal(project)


def test_a_version_that_was_released_is_refused(project: Path) -> None:
    run(project, "git", "tag", "v1.2.3")
    assert "a tag v1.2.3 already" in refusal(project)


@pytest.mark.parametrize(
    "heading", ["## 1.2.3, not released yet", "## 1.2.4, 2026-11-25", "## 1x2.3, 2026-11-25"]
)
def test_a_version_without_a_date_in_the_changelog_is_refused(project: Path, heading: str) -> None:
    (project / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    commit(project)
    assert "CHANGELOG.md needs a heading '## 1.2.3, YYYY-MM-DD'" in refusal(project)


def test_functions_of_another_version_are_refused(project: Path) -> None:
    (project / "convex/clerk/version.ts").write_text('export const VERSION = "1.2.2";\n')
    commit(project)
    assert 'set VERSION to "1.2.3" in convex/clerk/version.ts' in refusal(project)
