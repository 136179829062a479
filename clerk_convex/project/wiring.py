"""The lines that a team's own schema, crons and auth.config need, and the places where they go.

Each function takes the text of a file and returns what it needs: nothing, the whole text with the lines in
it, or the lines for a person to add where the place is not certain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clerk_convex.project.files import read_text
from clerk_convex.project.source import Source

__all__ = ["WIRED", "ByHand", "Wire", "has_table"]


@dataclass(frozen=True, slots=True)
class ByHand:
    """Lines that a person must add, and a sentence that says where."""

    where: str
    lines: tuple[str, ...]


Wire = Callable[[str, str, str], "str | ByHand | None"]
"""Takes the text of a file, its language ("ts" or "js"), and the package's own file of that name."""

_TABLES = r"\.\.\.(?:loose)?[cC]lerkTables\b"
_SCHEMA = r"\bdefineSchema\s*\(\s*(\{)"


def wire_schema(text: str, language: str, ours: str) -> str | ByHand | None:
    """Spread our tables into the schema."""
    source = Source(text)
    if re.search(_TABLES, source.code):
        return None
    found = source.only(_SCHEMA)
    if found is None or source.only(r"\bdefineSchema\s*\(") is None or not source.is_readable:
        where = "The object of tables that defineSchema gets needs the tables of clerk/tables.ts:"
        return ByHand(where, ('import { clerkTables } from "./clerk/tables";', "...clerkTables,"))
    return _with_import(source.with_entry(found.start(1), "...clerkTables"), "clerkTables", "./clerk/tables")


def wire_crons(text: str, language: str, ours: str) -> str | ByHand | None:
    """Register the jobs of our crons.ts that the file does not have."""
    source = Source(text)
    jobs = [
        line
        for line in ours.splitlines()
        if (found := re.search(r"functions\(\)\.(\w+)", line))
        and not re.search(rf"\b{found[1]}\b", source.code)
    ]
    if not jobs:
        return None
    made = source.only(r"\b(\w+)\s*=\s*cronJobs\s*\(\s*\)")
    end = None if made is None else source.only(rf"^export\s+default\s+{made[1]}\b")
    if made is None or end is None or not source.is_readable:
        where = "The object that cronJobs() returns, here named crons, needs these jobs:"
        return ByHand(where, ('import { functions } from "./clerk/module";', *jobs))
    lines = "".join(f"{re.sub(r'^crons', made[1], job)}\n" for job in jobs)
    return _with_import(f"{text[: end.start()]}{lines}{text[end.start() :]}", "functions", "./clerk/module")


_PROVIDER = '{{ domain: process.env.CLERK_JWT_ISSUER_DOMAIN{bang}, applicationID: "convex" }}'
_DECLARED = "declare const process: { env: Record<string, string | undefined> };"


def wire_auth(text: str, language: str, ours: str) -> str | ByHand | None:
    """Accept Clerk's session tokens, unless the file names a provider that is Clerk's already."""
    source = Source(text)
    bang = "!" if language == "ts" else ""
    provider = _PROVIDER.format(bang=bang)
    found = source.only(r"\bproviders\s*:\s*(?:\w+\s*=\s*)?(\[)")
    if found is None or not source.is_readable:
        if _is_clerk(text):
            return None
        return ByHand("The list of providers needs Clerk's session tokens:", (f"{provider},",))
    if any(_is_clerk(entry) for entry in source.entries(found.start(1))) or _names_clerk_above(source, found):
        return None
    wired = source.with_entry(found.start(1), provider)
    if language == "ts" and not re.search(r"\bprocess\b", source.code):
        wired = _after_imports(wired, _DECLARED)
    return wired


def _is_clerk(text: str) -> bool:
    return re.search("clerk", text, re.IGNORECASE) is not None and '"convex"' in text.replace("'", '"')


def _names_clerk_above(source: Source, providers: re.Match[str]) -> bool:
    """Return whether a provider uses a constant of the file, as in our own auth.config.ts."""
    constants = re.findall(r"\bconst\s+(\w+)\s*=([^;\n]*)", source.text)
    clerks = [name for name, value in constants if "clerk" in value.lower()]
    entries = source.entries(providers.start(1))
    return any(re.search(rf"\b{name}\b", entry) for entry in entries for name in clerks)


def _after_imports(text: str, line: str) -> str:
    last = Source(text).last_import
    return f"{line}\n\n{text}" if last is None else f"{text[: last.end()]}\n\n{line}{text[last.end() :]}"


def _with_import(text: str, name: str, path: str) -> str:
    source = Source(text)
    if re.search(rf"^import\s*\{{[^}}]*\b{name}\b", source.code, re.MULTILINE):
        return text
    return source.with_import(name, path)


WIRED: dict[str, Wire] = {"schema": wire_schema, "crons": wire_crons, "auth.config": wire_auth}
"""What each of a team's own files needs, by the name of the file without its ending."""


def has_table(folder: Path, table: str) -> Path | None:
    """Return the team's file that defines a table of this name, or None.

    The tables of @convex-dev/auth, `authTables`, have one named users.
    """
    defined = rf"\b{table}[\"']?\s*:\s*defineTable\b"
    for path in _own_files(folder):
        source = Source(read_text(path))
        if re.search(defined, source.uncommented):
            return path
        if table == "users" and re.search(r"\.\.\.authTables\b", source.code):
            return path
    return None


def _own_files(folder: Path) -> Iterator[Path]:
    """Yield the team's own modules: without ours, generated ones, and those of components."""
    skipped = {"_generated", "node_modules", "clerk"}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir():
            is_component = any(path.glob("convex.config.*"))
            if path.name not in skipped and not path.name.startswith(".") and not is_component:
                yield from _own_files(path)
        elif path.suffix in {".ts", ".js"}:
            yield path
