"""What is built and installed is what is in the tree."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clerk_convex.local.dashboard import STATIC
from tests.functions import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_wheel_has_all_that_runs_and_nothing_else(installed: Path) -> None:
    """The modules, the types' marker, the backend of the local Convex, the functions, the dashboard."""
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"clerk_convex"}
    built = {
        path.relative_to(installed) for path in installed.rglob("*") if path.suffix in {".py", ".ts", ".js"}
    }
    package = {path.relative_to(ROOT) for path in (ROOT / "clerk_convex").rglob("*.[pt][ys]")}
    functions = {
        Path("clerk_convex", "local", path.relative_to(ROOT))
        for path in (ROOT / "convex").rglob("*")
        if path.suffix in {".ts", ".js"}
    }
    scripts = {path.relative_to(ROOT) for path in STATIC.rglob("*.js")}
    assert scripts
    assert built == package | functions | scripts
    for file in ("py.typed", "local/static/index.html"):
        assert (installed / "clerk_convex" / file).is_file()


def test_wheel_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """The whole set comes up with what the wheel brings; npm packages are the folder's."""
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    code = "import clerk_convex; print(clerk_convex.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(installed))
    command = [sys.executable, "-m", "clerk_convex.local", "--once", "--users", "5"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
