"""The wheel, built once in a run of the tests, in a checkout of its own: the build writes `react/dist`, which
tests beside it read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.functions import ROOT


def build(checkout: Path, target: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)],
        cwd=checkout,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check_out(folder: Path) -> Path:
    """Return a fresh checkout: the files of git, without build results and installed packages."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():  # and not deleted since
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with installed npm packages, because npm ci takes too long here."""
    checkout = check_out(tmp_path_factory.mktemp("checkout"))
    for place in ("node_modules", "examples/dashboard/node_modules"):
        (checkout / place).symlink_to(ROOT / place)
    return checkout


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Variables for another build of the page must not be used here.
    built = build(checkout, "wheel", folder, VITE_CLERK_PUBLISHABLE_KEY="pk_test_Y2xlcmsuZXhhbXBsZS5jb20k")
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel
