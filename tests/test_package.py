"""What is built and installed is what is in the tree, and all of it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.functions import ROOT

SERVED = """
import httpx
from clerk_convex.local.stack import LocalStack
with LocalStack() as stack:
    page = httpx.get(stack.dashboard_url, trust_env=False)
    script = page.text.partition(' src="')[2].partition('"')[0]
    print(page.status_code, httpx.get(stack.url + script, trust_env=False).status_code)
"""


FIXTURES = """
def test_plugin(clerk_convex, as_user):
    assert clerk_convex.row(as_user(first_name="Eve").id)["firstName"] == "Eve"
"""


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
    """A fresh checkout: what git has, and nothing that was built or installed."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():  # and not deleted since
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With what npm ci brings, which takes too long here."""
    checkout = check_out(tmp_path_factory.mktemp("checkout"))
    for place in ("node_modules", "examples/dashboard/node_modules"):
        (checkout / place).symlink_to(ROOT / place)
    return checkout


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # What somebody has set for a page of their own is not for this one.
    built = build(checkout, "wheel", folder, VITE_CLERK_PUBLISHABLE_KEY="pk_test_Y2xlcmsuZXhhbXBsZS5jb20k")
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_has_all_that_runs_and_nothing_else(wheel: Path) -> None:
    """The modules, the types' marker, the backend of the local Convex, the functions, the dashboard."""
    built = names_in(wheel)
    assert {name.split("/")[0] for name in built if ".dist-info/" not in name} == {"clerk_convex"}
    static = {name for name in built if name.startswith("clerk_convex/local/static/")}
    assert any(name.endswith(".js") for name in static)
    with zipfile.ZipFile(wheel) as archive:
        assert not any(b"pk_test_Y2xlcmsuZXhhbXBsZS5jb20k" in archive.read(name) for name in static)
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "clerk_convex").rglob("*.[pt][ys]")}
    functions = {
        f"clerk_convex/template/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "convex").rglob("*")
        if path.suffix in {".ts", ".js"}
    }
    code = {name for name in built - static if name.endswith((".py", ".ts", ".js"))}
    assert code == package | functions
    assert {"clerk_convex/py.typed", "clerk_convex/local/static/index.html"} <= built


def test_wheel_runs_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """The whole set comes up with what the wheel brings, its dashboard too; npm packages are the folder's.
    pytest finds the plugin.
    """
    environment, team = tmp_path / "environment", tmp_path / "team"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    # What the package needs is taken from where it is installed already; the checkout is not found that way.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    team.mkdir()
    (team / "node_modules").symlink_to(ROOT / "node_modules")

    def run(*arguments: str) -> str:
        ran = subprocess.run(
            [python, *arguments], cwd=team, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert run("-c", "import clerk_convex; print(clerk_convex.__file__)").startswith(str(environment))
    run("-m", "clerk_convex.local", "--once", "--users", "5")
    assert run("-c", SERVED) == "200 200\n"
    (team / "test_plugin.py").write_text(FIXTURES)
    assert "1 passed" in run("-W", "error", "-m", "pytest", "-q")


def test_wheel_of_an_sdist_is_the_same(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    """An sdist has the dashboard: to install it needs no npm. Without the dashboard there is no wheel."""
    built = build(checkout, "sdist", tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path)  # noqa: S202  our own archive, and Python 3.11.2 has no filter
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    assert not list(unpacked.rglob("node_modules"))
    again = build(unpacked, "wheel", tmp_path, PATH=os.defpath)
    assert again.returncode == 0, again.stdout + again.stderr
    assert names_in(*tmp_path.glob("*.whl")) == names_in(wheel)

    shutil.rmtree(unpacked / "clerk_convex" / "local" / "static")
    failed = build(unpacked, "wheel", tmp_path / "none")
    assert failed.returncode != 0
    assert "There is no dashboard in" in failed.stderr
    assert not list(tmp_path.glob("none/*"))


def test_a_dashboard_that_cannot_be_built_is_no_wheel(tmp_path: Path) -> None:
    """Rather than a wheel whose users page is missing there is an error that says what npm said."""
    checkout = check_out(tmp_path / "checkout")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho no registry today >&2\nexit 7\n")
    npm.chmod(0o755)
    failed = build(checkout, "wheel", tmp_path / "none", PATH=f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    assert failed.returncode != 0
    assert "The dashboard was not built: npm ci failed.\nno registry today" in failed.stderr
    assert not list(tmp_path.glob("none/*"))
