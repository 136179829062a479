"""The wheel, built once in a run of the tests, in a checkout of its own: the build writes `react/dist`, which
tests beside it read."""

import fcntl
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
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel. The workers of a run share it: the first that needs it builds it, and others wait."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of the run; without workers it is that of all runs
    folder /= "wheel"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.whl")):
            checkout: Path = request.getfixturevalue("checkout")
            # Variables for another build of the page must not be used here.
            key = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"
            built = build(checkout, "wheel", folder, VITE_CLERK_PUBLISHABLE_KEY=key)
            assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel
