"""The map of the code fits the code: its files exist, and imports keep its rules."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import pages
from tests.support.functions import ROOT

FILE = re.compile(r"`((?:clerk_convex|convex|examples|tests|scripts|benchmarks|docs)/[\w./-]*)`")
NAMED = sorted(
    {(path, str(page.relative_to(ROOT))) for page in pages() for path in FILE.findall(page.read_text())}
)
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
# Made by a build, or a package of npm.
ELSEWHERE = {"docs/_build", "convex/react", *WHEEL["force-include"].values()}


@pytest.mark.parametrize(("path", "page"), NAMED)
def test_path_exists(path: str, page: str) -> None:
    assert path in ELSEWHERE or (ROOT / path).exists(), f"{page} leads to {path}"


def test_paths_are_found() -> None:
    """The pattern above finds paths on the page with the most of them."""
    assert ("convex/users.ts", "docs/architecture.md") in NAMED


PACKAGE = ROOT / "clerk_convex"
MODULES = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*.py") if "static" not in path.parts)
ROWS = re.findall(r"^\| (`clerk_convex/.*?) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
# The row of each room, from the top.
LEVELS = {
    name.removesuffix(".py"): level
    for level, row in enumerate(ROWS)
    for name in re.findall(r"`clerk_convex/(\w+(?:\.py)?)/?`", row)
}
# What is started by its name, whatever it then calls: `python -m`, and what pytest finds.
STARTED = {"__main__", "__init__"}


def room_of(module: Path) -> str:
    return module.parts[1].removesuffix(".py")


def file_of(name: str) -> Path | None:
    """Return the file of a module of the package, or None if there is no such module."""
    path = Path(*name.split("."))
    found = [it for it in (path.with_suffix(".py"), path / "__init__.py") if (ROOT / it).exists()]
    return found[0] if found else None


def imports(module: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield what a module imports from other rooms: the module, and the name in it or None for all of it."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("clerk_convex"):
            continue
        source = file_of(node.module or "")
        assert source is not None, f"{module} imports {node.module}"
        for alias in node.names:
            whole = file_of(f"{node.module}.{alias.name}")
            target, name = (source, alias.name) if whole is None else (whole, None)
            if room_of(target) not in {room_of(module), "__init__"}:
                yield target, name


def listed(module: Path) -> set[str]:
    """Return the names in `__all__`."""
    for node in ast.parse((ROOT / module).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(re.findall(r"'(\w+)'", ast.unparse(node.value)))
    return set()


def test_every_room_is_on_the_map() -> None:
    rooms = {room_of(module) for module in MODULES} - STARTED
    assert rooms <= LEVELS.keys() | {"pytest_plugin"}
    assert len(LEVELS) > 15


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_down_to_names_that_are_listed(module: Path) -> None:
    is_started = module.stem in STARTED and (module.stem == "__main__" or len(module.parts) == 2)
    for target, name in imports(module):
        if not is_started:
            assert LEVELS[room_of(module)] <= LEVELS[room_of(target)], (
                f"{module} imports from {target} above it"
            )
            assert name is None or name in listed(target), f"{target} does not list {name}"
