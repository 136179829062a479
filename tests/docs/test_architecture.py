"""The files that the documentation names exist."""

import re
import tomllib

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
