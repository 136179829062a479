"""The reference pages name everything that the code has, and nothing else."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

import clerk_convex
from clerk_convex import errors, webhook_route
from clerk_convex.admin.actions import ACTIONS
from clerk_convex.app import create_app
from clerk_convex.clerk.api import Clerk
from clerk_convex.cli.main import COMMANDS
from clerk_convex.entities.changes import OUTCOMES
from clerk_convex.settings import Settings
from tests.support.functions import ROOT

REFERENCE = ROOT / "docs/reference"


def section(page: str, heading: str) -> str:
    """Return the text of a page below a heading, up to the next heading of its level."""
    text = (REFERENCE / page).read_text()
    level, *_ = heading.split(" ")
    _, found, rest = text.partition(f"{heading}\n")
    assert found, f"{page} has no {heading}"
    return re.split(rf"^{level} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables in a text, without their heads."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("| --")
        if line.startswith("| ") and not line.startswith("| --") and not is_head:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_settings() -> None:
    text = (REFERENCE / "settings.md").read_text()
    table = text.partition("## ")[0]
    documented = {code(name)[0]: default for name, _, default in rows(table)}
    assert documented.keys() == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = field.default[0] if field.default and isinstance(field.default, tuple) else field.default
        if isinstance(default, str):
            assert documented[name.upper()] == f"`{default}`", name
        elif isinstance(default, float):
            assert documented[name.upper()] == f"`{default:g}`", name
        else:
            assert not code(documented[name.upper()]), f"{name} has no default"


@pytest.mark.parametrize("command", COMMANDS)
def test_command_line(command: str) -> None:
    """Each option, with its argument and default, and each exit status."""
    ran = subprocess.run(
        [sys.executable, "-m", "clerk_convex", command, "--help"], capture_output=True, text=True, check=True
    )
    options, _, epilog = ran.stdout.partition("options:\n")[2].partition("exit status:")
    helped = dict(re.findall(r"^  (--[\w-]+(?: [A-Z]+)?)((?:.|\n(?!  -))*)", options, re.MULTILINE))
    text = section("command-line.md", f"## `clerk-convex {command}`")
    cells = {code(name)[0]: meaning for name, meaning in rows(text) if code(name)}
    assert cells.keys() == helped.keys()
    for option, help_text in helped.items():
        for default in re.findall(r"\(default: (\d+)\)", help_text):
            assert f"default {default}" in cells[option], option
    statuses = {name for name, _ in rows(text) if name.isdecimal()}
    assert statuses == set(re.findall(r"(?:^|; )\s*(\d+) ", " ".join(epilog.split())))


def test_outcomes_and_statuses_of_the_webhook_route() -> None:
    text = section("routes.md", "## Webhook")
    found = list(rows(text))
    assert {code(it[0])[0] for it in found if code(it[0])} == OUTCOMES
    documented = {it[0] for it in found if it[0].isdecimal()}
    docstring = webhook_route.__doc__ or ""
    assert set(re.findall(r"\b[245]\d\d\b(?= )", docstring)) - {"512"} <= documented


def test_routes_of_user_management() -> None:
    """Each documented route exists, and no other route for a call of the Clerk client."""
    table = [
        code(cells[0])[0] for cells in rows(section("routes.md", "## User management")) if code(cells[0])
    ]
    documented = {tuple(route.split(" ")) for route in table}
    settings = Settings.from_env(
        {
            "CLERK_SECRET_KEY": "sk_test_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "CLERK_JWT_ISSUER_DOMAIN": "https://clerk.example.com",
            "CONVEX_URL": "https://happy-animal-123.convex.cloud",
            "CONVEX_DEPLOY_KEY": "prod:happy-animal-123|eyJ2MiI6IjEyMyJ9",
        }
    )
    words = {name for name in dir(Clerk) if not name.startswith("_")}
    words |= {word.partition("_")[2] for word in words} - {""}
    paths = {
        *("/api/users/me", "/api/users/bulk"),
        *(f"/api/users{action.path}" for action in ACTIONS),
        *(f"/api/users/{{id}}/{word}" for word in words),
    }

    async def probe() -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            for path in sorted(paths):
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                    answer = await client.request(method, path.replace("{id}", "user_1"))
                    if answer.status_code not in {404, 405}:
                        found.add((method, path))
        return found

    assert documented == asyncio.run(probe())


def test_routes_of_the_application() -> None:
    table = [code(cells[0])[0] for cells in rows(section("routes.md", "## The application"))]
    paths = {route.path for route in create_app().routes}  # type: ignore[attr-defined]
    paths = {path for path in paths if not path.startswith(("/webhooks", "/api/users"))}
    assert {route.removeprefix("GET ") for route in table} == paths


def test_functions() -> None:
    """Each one of convex/users.ts, public ones among the public ones."""
    source = (ROOT / "convex/users.ts").read_text()
    kinds = dict(re.findall(r"^export const (\w+) = (\w+)\(", source, re.MULTILINE))
    public, internal = (
        {
            name
            for cells in rows(section_text)
            for name in re.findall(r"users:(\w+)|`(\w+)`", cells[0])
            for name in name
            if name
        }
        for section_text in (
            section("functions.md", "## Public queries"),
            section("functions.md", "## Internal functions for you")
            + section("functions.md", "## Internal functions of the package"),
        )
    )
    assert public == {name for name, kind in kinds.items() if kind in {"query", "mutation", "action"}}
    assert internal == {name for name, kind in kinds.items() if kind.startswith("internal")}


def test_tables() -> None:
    """Each table, and each column of users."""
    (file,) = (
        it for it in (ROOT / "convex/clerk").rglob("*.ts") if "export const clerkTables" in it.read_text()
    )
    source = file.read_text()
    tables = set(re.findall(r"^  (\w+|\[USERS\]): defineTable\(", source, re.MULTILINE))
    others = {code(cells[0])[0] for cells in rows(section("tables.md", "## The others"))}
    assert others | {"[USERS]"} == tables
    columns = {"clerkId"}
    for name in ("requiredColumns", "optionalColumns", "derivedColumns"):
        body = re.search(rf"^const {name} = {{\n(.*?)^}};", source, re.MULTILINE | re.DOTALL)
        assert body, name
        columns |= set(re.findall(r"^  (\w+)[:,]", body[1], re.MULTILINE))
    columns |= {"sortEmail", "clerkStamp"}
    documented = {name for cells in rows(section("tables.md", "## users")) for name in code(cells[0])}
    assert documented == columns


def test_errors() -> None:
    """Each error, with its base."""
    documented = {
        code(name)[0]: code(base)[0] for name, base, _ in rows((REFERENCE / "errors.md").read_text())
    }
    assert documented == {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}


def test_public_names_of_python() -> None:
    """Each is in the reference, or is an error."""
    text = (REFERENCE / "python.md").read_text()
    names = set(clerk_convex.__all__) - set(errors.__all__) - {"__version__", "Fields", "OnChange"}
    missing = [name for name in sorted(names) if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_log_lines_of_the_guide_are_logged() -> None:
    """What docs/guides/operations.md tells people to look for is in the code, but for ids and statuses."""
    page = (ROOT / "docs/guides/operations.md").read_text()
    table = page.partition("## What the log says\n")[2].partition("\n## ")[0]
    source = "\n".join(path.read_text() for path in (ROOT / "clerk_convex").rglob("*.py"))
    lines = [line for _, line, _ in rows(table)]
    assert len(lines) == 10
    for line in lines:
        parts = re.split(r"msg_…|'user_…'|…|\d{3}|, (?=\d|or|[A-Z])| or |ended", line)
        fixed = [part.strip() for part in parts if len(part.strip()) > 5]
        assert fixed, line
        assert [part for part in fixed if part not in source] == [], line
