"""The built and installed package has all files of the tree that it needs, and no others."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

from tests.support.functions import ROOT
from tests.support.wheel import build, check_out

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


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_contents_of_the_wheel(wheel: Path) -> None:
    """The modules, the type marker, the backend of the local Convex, the functions and the dashboard."""
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
    """The whole local set starts with the files of the wheel, its dashboard too. npm packages are the
    folder's own. pytest finds the plugin."""
    environment, team = tmp_path / "environment", tmp_path / "team"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    # Dependencies come from the current environment, in a way that does not find the checkout.
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
    """An sdist has the dashboard, so installing it needs no npm. Without the dashboard no wheel is built."""
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


def test_no_wheel_without_a_dashboard(tmp_path: Path) -> None:
    """If the dashboard cannot be built, the build fails with npm's error."""
    checkout = check_out(tmp_path / "checkout")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho no registry today >&2\nexit 7\n")
    npm.chmod(0o755)
    failed = build(checkout, "wheel", tmp_path / "none", PATH=f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    assert failed.returncode != 0
    assert "The dashboard was not built: npm ci failed.\nno registry today" in failed.stderr
    assert not list(tmp_path.glob("none/*"))
