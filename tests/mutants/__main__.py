"""Change the code a little, one place at a time, and tell which changes no test notices.

    scripts/mutants clerk_convex/net/rate.py convex/clerk/order/rules.ts --sample 20

mutmut makes the changes of Python, Stryker those of TypeScript. Each is tried in a copy of the project: the
tests of its file run, and the type checker if they pass. `survivors.md` lists those that nobody can notice.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ROOMS = ("admin", "backfill", "clerk", "convex", "entities", "net", "upkeep", "webhook")
PATHS = {
    "python": ["clerk_convex/*.py", *(f"clerk_convex/{room}/*.py" for room in ROOMS)],
    "typescript": ["convex/clerk/*.ts", "convex/clerk/*/*.ts"],
}
# The tests of a file, by the first pattern that matches. Some tests of a room are in another one.
TESTS = {
    "clerk_convex/admin/*.py": "tests/admin tests/clerk/test_tokens.py",
    "clerk_convex/backfill/*.py": "tests/backfill",
    "clerk_convex/upkeep/*.py": "tests/cli/test_upkeep.py",
    "clerk_convex/clerk/tokens.py": "tests/clerk/test_tokens.py",
    "clerk_convex/clerk/*.py": "tests/clerk",
    "clerk_convex/convex/*.py": "tests/convex",
    "clerk_convex/entities/*.py": "tests/entities tests/webhook/test_events.py",
    "clerk_convex/net/*.py": "tests/net tests/convex/test_client.py tests/webhook/test_route.py"
    " tests/admin/test_requests.py",
    "clerk_convex/webhook/*.py": "tests/webhook",
    "clerk_convex/service.py": "tests/test_service.py tests/webhook/test_route.py tests/admin",
    "clerk_convex/*.py": "tests/test_settings.py tests/test_app.py tests/test_errors.py tests/test_init.py",
    "convex/clerk/upkeep/*.ts": "tests/functions/test_upkeep.py",
    "convex/clerk/backfill/*.ts": "tests/functions tests/backfill/test_position.py",
    "convex/clerk/*.ts": "tests/functions",
    "convex/clerk/*/*.ts": "tests/functions",
    "src/*/use[A-Z]*.ts": "browser",
    "src/*/*.ts": "node",
    "src/*/*.tsx": "browser",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", help="files; default: the library's and the functions'")
    parser.add_argument("--python", action="store_true", help="only Python")
    parser.add_argument("--typescript", action="store_true", help="only TypeScript")
    parser.add_argument("--sample", type=int, default=10, metavar="N", help="mutants of each file (10)")
    parser.add_argument(
        "--minutes", type=float, default=30, metavar="M", help="start none after so long (30)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed is another sample (0)")
    parser.add_argument("--verbose", action="store_true", help="say what noticed the others")
    options = parser.parse_args()
    languages = [name for name in PATHS if getattr(options, name)] or list(PATHS)
    paths = [Path(path).resolve().relative_to(ROOT) for path in options.paths] or sorted(
        path.relative_to(ROOT) for name in languages for pattern in PATHS[name] for path in ROOT.glob(pattern)
    )
    ends = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        sandbox = Sandbox(Path(folder), options.verbose)
        results = [sandbox.try_file(path, options.sample, options.seed, ends) for path in paths]
    tried, noticed = (sum(it) for it in zip(*results, strict=True))
    print(f"\n{noticed} of {tried} noticed, {noticed / max(tried, 1):.0%}.")
    return 0


def sample(path: Path, size: int, seed: int) -> list[str]:
    """Return some mutants of a file, the same ones for the same seed and text."""
    if path.suffix == ".py":
        from tests.mutants import python  # needs the packages of the group "mutants"

        texts = list(python.mutants(ROOT / path))
    else:
        command = ["node", str(HERE / "typescript.mjs"), str(ROOT / path)]
        texts = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return random.Random(f"{seed} {path}").sample(texts, min(size, len(texts)))


class Sandbox:
    """A copy of the project, in which files are changed and tests run."""

    def __init__(self, folder: Path, verbose: bool) -> None:
        self.folder = folder
        self.verbose = verbose
        self._changes = 0
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        shutil.copytree(ROOT / "clerk_convex/local/static", folder / "clerk_convex/local/static")
        for modules in ("node_modules", "examples/dashboard/node_modules"):
            if (ROOT / modules).exists():
                (folder / modules).symlink_to(ROOT / modules)

    def try_file(self, path: Path, size: int, seed: int, ends: float) -> tuple[int, int]:
        """Return how many mutants of a file were tried, and how many of them the tests or the types
        noticed."""
        mutants = sample(path, size, seed)
        if not mutants or time.monotonic() > ends:
            return 0, 0
        before = (ROOT / path).read_text()
        started = time.monotonic()
        if failure := self._failure(tests_of(path), 600):
            print(f"\n{path}: not tried, for its tests fail without any change: {failure}", flush=True)
            return 0, 0
        limit = 20 + 3 * (time.monotonic() - started)
        tried = noticed = 0
        for after in mutants:
            if time.monotonic() > ends:
                print(f"{path}: {len(mutants) - tried} not tried, the time is over")
                break
            tried += 1
            self._write(path, after)
            noticed_by = self._failure(tests_of(path), limit) or self._failure(types_of(path), 300)
            self._write(path, before)
            if noticed_by:
                noticed += 1
            if self.verbose or not noticed_by:
                print(f"\n{noticed_by or 'survived'}", *_diff(path, before, after), sep="\n", flush=True)
        print(f"\n{path}: {noticed} of {tried} noticed", flush=True)
        return tried, noticed

    def _write(self, path: Path, text: str) -> None:
        file = self.folder / path
        file.write_text(text)
        # Python reuses the compiled file for a source with the same size and second.
        self._changes += 1
        os.utime(file, times=(self._changes, self._changes))

    def _failure(self, command: list[str], limit: float) -> str:
        """Return the error of a command, or an empty text if it succeeded."""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "MUTANT": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return f"no end within {limit:.0f} s"
        lines = [
            line for line in said.splitlines() if line.startswith(("FAILED", "ERROR")) or "error" in line
        ]
        if process.returncode == -signal.SIGKILL:  # not by the mutant, and not by us
            raise SystemExit("A test process was killed. Is there enough memory? Try again.")
        if process.returncode == 0:
            return ""
        return (lines or [*said.splitlines(), f"ended with status {process.returncode}"])[-1]


def tests_of(path: Path) -> list[str]:
    names = next(names for pattern, names in TESTS.items() if path.match(pattern))
    node = 'node --test "tests/dashboard/*.test.ts" "tests/react/*.test.ts"'
    if names == "node":
        return ["sh", "-ec", node]
    # The tests that remove a rule search for its text.
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", "not needs_every"]
    if names == "browser":
        return [
            "sh",
            "-ec",
            f'{node}; npm run --silent build; exec "$@" tests/dashboard',
            "sh",
            *pytest,
        ]
    return [*pytest, *names.split()]


def types_of(path: Path) -> list[str]:
    if path.suffix == ".py":
        return [sys.executable, "-m", "mypy", str(path)]
    project = next((it for it in ("examples/dashboard", "react") if path.is_relative_to(it)), "convex")
    return ["tsc", "-p", project]


def _diff(path: Path, before: str, after: str) -> list[str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    number = lines[0].split()[1].removeprefix("-").partition(",")[0]
    return [f"{path}:{number}", *(line for line in lines if not line.startswith("@@"))]


if __name__ == "__main__":
    sys.exit(main())
