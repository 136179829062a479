"""The blocks of code in the README and the documentation work, and their links and pictures exist."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from clerk_convex.app import create_app
from clerk_convex.local.stack import LocalStack
from tests.support.documents import (
    HANDLED,
    NOT_RUN,
    RUN,
    Block,
    Session,
    blocks,
    commands,
    indented_code,
    matches,
    pages,
)
from tests.support.functions import ROOT

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
RUNNING = [page for page in PAGES if any(block.language in RUN for block in blocks(page))]


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """A local set with a few users, for the pages that do not start one."""
    with LocalStack(project=ROOT) as stack:
        for number in range(5):
            stack.clerk.create_user(first_name="Grace", email_address=[f"grace{number}@example.org"])
        assert stack.clerk.webhooks.drain(30)
        yield stack


def environment(stack: LocalStack) -> dict[str, str]:
    return dict(stack.environment())


def test_every_block_has_a_handler() -> None:
    """A block that no test runs, compares or parses could become wrong unnoticed."""
    unknown = [f"{block} {block.language}" for block in BLOCKS if block.language not in HANDLED]
    assert not unknown, f"No handler for {unknown}; there are {sorted(HANDLED)}."
    indented = [f"{page.name}:{line}" for page in PAGES for line in indented_code(page)]
    assert not indented, f"Put a fence with a language around {indented}."


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, stack: LocalStack, tmp_path: Path) -> None:
    """The commands and programs of a page, in order, do what the page says."""
    found = [block for block in blocks(page) if block.language in RUN or block.file is not None]
    is_own = any(". ./.env.local" in block.text for block in found)
    Session(tmp_path, {} if is_own else environment(stack)).run(found)


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_cron_line_is_silent_while_all_is_well(block: Block, stack: LocalStack, tmp_path: Path) -> None:
    """With a "|" in the deploy key, in an empty environment, without a terminal."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    lines = [f"{name}={value}\n" for name, value in environment(stack).items()]
    (tmp_path / ".env").write_text("".join(lines))
    for line in block.text.splitlines():
        command = line.split(maxsplit=5)[5].replace("/srv/app", str(tmp_path))
        ran = subprocess.run(
            ["sh", "-c", command],  # noqa: S607
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, ""), ran


def test_commands_that_are_not_run_exist() -> None:
    scripts = {word for block in of("console") for it in commands(block) for word in it.text.split()[:1]}
    for name in sorted(it for it in scripts if it.startswith("scripts/")):
        assert os.access(ROOT / name, os.X_OK), name
    text = "\n".join(it.text for block in of("console") for it in commands(block))
    unused = [pattern for pattern in NOT_RUN if not re.search(rf"^{pattern}", text, re.MULTILINE)]
    assert not unused, f"No page has {unused} any more."
    # The address that Session puts in its place.
    assert "python -m clerk_convex.local --demo" in (ROOT / "scripts/demo").read_text()


def typescript_projects() -> list[dict[str, str]]:
    """Return the blocks of TypeScript by file, in as few projects as hold them.

    Two pages may write the same file in two ways. A page is in one project.
    """
    projects: list[dict[str, str]] = []
    for page in PAGES:
        found = [block for block in of("ts") if block.page == page]
        files = {block.file or f"convex/block{BLOCKS.index(block)}.ts": block.text for block in found}
        assert len(files) == len(found), f"Two blocks of {page} are the same file."
        for project in projects:
            if not project.keys() & files.keys():
                project.update(files)
                break
        else:
            projects.append(files)
    return projects


@pytest.mark.parametrize("files", typescript_projects(), ids=lambda files: str(len(files)))
def test_typescript_is_type_checked(files: dict[str, str], tmp_path: Path) -> None:
    """Each block of TypeScript is checked in a copy of convex/, under its file name."""
    shutil.copytree(ROOT / "convex", tmp_path / "convex")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    (tmp_path / "package.json").write_text('{"dependencies": {"convex": "*"}}')
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    commands = ["typescript/bin/tsc -p convex"]
    if any(re.search(r"internal\.(?!users)", text) for text in files.values()):
        commands.insert(0, "convex/bin/main.js codegen --system-udfs --typecheck disable")
    for command in commands:
        ran = subprocess.run(
            ["node", *f"node_modules/{command}".split()],  # noqa: S607
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_react_is_type_checked(tmp_path: Path) -> None:
    """Each block of TSX is checked in src/ of a copy of the users page."""
    ignore = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "examples/dashboard", tmp_path / "examples/dashboard", ignore=ignore)
    shutil.copytree(ROOT / "convex", tmp_path / "convex")
    for folder in ("node_modules", "examples/dashboard/node_modules"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for number, block in enumerate(of("tsx")):
        (tmp_path / f"examples/dashboard/src/block{number}.tsx").write_text(block.text)
    ran = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "-p", "examples/dashboard"],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_data_is_well_formed() -> None:
    for block in of("json"):
        json.loads(block.text)
    for block in of("toml"):
        tomllib.loads(block.text)


def test_removed_lines_of_diffs_exist() -> None:
    code = [path.read_text() for path in (ROOT / "convex/clerk").rglob("*.ts")]
    for block in of("diff"):
        for line in block.text.splitlines():
            assert sum(text.count(line.removeprefix("-")) for text in code) == 1, block


def test_probes_are_routes_of_the_application() -> None:
    paths = {getattr(route, "path", None) for route in create_app().routes}
    probed = re.findall(r"httpGet: \{path: ([^,]+),", "\n".join(block.text for block in of("yaml")))
    assert probed
    assert set(probed) <= paths
    for block in of("yaml"):
        yaml.safe_load(block.text)


def test_picture_of_the_parts_is_the_same_everywhere() -> None:
    drawn = {block.text for block in of("text")}
    assert len(drawn) == 1


def test_the_readme_of_the_react_package_shows_what_the_guide_does() -> None:
    """Its blocks are blocks of the guide, which are checked."""
    shown = {block.text for block in blocks(ROOT / "react" / "README.md")}
    assert shown
    assert shown <= {block.text for block in blocks(ROOT / "docs" / "guides" / "users-page.md")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    """GitHub and the site show the same pages: each relative link is a file."""
    text = page.read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for target in (one or other for one, other in targets):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:", target):
            continue
        file = page if not path else (page.parent / path).resolve()
        assert file.exists(), f"{target} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{target} leads nowhere"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_readme_is_short_and_begins_with_code() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    code = next(number for number, line in enumerate(lines, 1) if line.startswith("```python"))
    assert code <= 22


def test_loops_are_small() -> None:
    for name in ("live.webp", "live-dark.webp"):
        assert (ROOT / "docs/images" / name).stat().st_size < 1_000_000


def test_output_is_compared() -> None:
    """ "…" matches any text, and no other text is ignored."""
    assert matches(["Equal: … users."], "Equal: 5 users.")
    assert not matches(["Equal: … users."], "Equal: 5 users.\nand more")
    assert matches(["one", "…"], "one\ntwo\nthree")
    assert not matches(["one", "…", "four"], "one\ntwo\nthree")
    assert matches([], "anything")
