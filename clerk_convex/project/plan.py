"""Compares a folder of functions with what it should hold, and does what is missing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from clerk_convex import __version__
from clerk_convex.convex.functions import is_newer
from clerk_convex.errors import ProjectError
from clerk_convex.project.files import is_file, read_text, remove, write_text
from clerk_convex.project.merge import merge
from clerk_convex.project.record import Record
from clerk_convex.project.source import Source, exports
from clerk_convex.project.template import OWN, Names, render
from clerk_convex.project.wiring import WIRED, ByHand, has_table

__all__ = ["Kind", "Mode", "Plan", "Step"]

_LOWEST_CONVEX = (1, 31)
# Names in users.ts, wherever it was copied from, by which it is known to be ours.
_OURS = re.compile(r"""from ["'](\./|(\.\./)+)clerk/order/sync["']""")
_MARKS = ("clerk/module.ts", "clerk/tables.ts", "clerk/state.ts")
# In a team's own file, an index that is gone, and what finds the same rows now. A deployment needs it.
_REPLACED = {
    "clerk/access.ts": (
        re.compile(r"""\.withIndex\(\s*["']by_role_and_status["'],\s*\(q\)\s*=>\s*q\b"""),
        '.withSearchIndex("by_search_text", (q) => q.search("searchText", PADDING)',
        'import { PADDING } from "./users/text";\n',
    )
}
_TABLES_IN_ONE = (
    "Your table {table} becomes ours: move its columns to clerk/columns.ts, take it out of {file}, and see"
    " `clerk-convex adopt --help` for its rows. Then the schema needs:"
)


class Mode(Enum):
    """CHECK writes nothing, INIT writes what is missing, UPGRADE also replaces files of another version."""

    CHECK = "check"
    INIT = "init"
    UPGRADE = "upgrade"


class Kind(Enum):
    """The kinds of steps: the words for each before and after it is taken, and the modes that take it."""

    MISSING = ("missing", "written", (Mode.INIT, Mode.UPGRADE))
    OLD = ("old", "replaced", (Mode.UPGRADE,))
    MERGE = ("old, and changed by you", "merged with your changes", (Mode.UPGRADE,))
    RENEWED = ("uses an index that is gone", "changed in that line", (Mode.UPGRADE,))
    CONFLICT = ("old, and changed by you in the same place", "ours is beside it as .new", (Mode.UPGRADE,))
    FOREIGN = ("not as ours, and not written by init", "ours is beside it as .new", (Mode.UPGRADE,))
    OBSOLETE = ("no longer needed", "removed", (Mode.UPGRADE,))
    WAITING = ("not merged yet", "", ())
    CHANGED = ("changed by you", "", ())
    LEFT = ("no longer needed, but changed by you: remove it when you are ready", "", ())
    LACKS = ("lacks lines", "completed", ())
    BY_HAND = ("needs lines that you must add", "", ())

    def __init__(self, before: str, after: str, modes: tuple[Mode, ...]) -> None:
        self.before, self.after, self.modes = before, after, modes

    @property
    def is_note(self) -> bool:
        """Whether nothing has to be done."""
        return self in {Kind.CHANGED, Kind.LEFT}

    @property
    def is_beside(self) -> bool:
        """Whether our file is written beside the team's, which a person merges."""
        return self in {Kind.CONFLICT, Kind.FOREIGN}

    @property
    def needs_upgrade(self) -> bool:
        return self.modes == (Mode.UPGRADE,)


@dataclass(slots=True)
class Step:
    """A step for one file, and whether it was taken.

    path: from the folder of functions.
    text: what the file will hold; for CONFLICT and FOREIGN what the file beside it will hold.
    lines: for LACKS a diff, for BY_HAND a sentence and the lines.
    """

    path: str
    kind: Kind
    text: str = ""
    lines: tuple[str, ...] = ()
    is_done: bool = False

    @property
    def is_open(self) -> bool:
        """Whether something is left to do, by a command or by a person."""
        return not self.kind.is_note and (not self.is_done or self.kind.is_beside)

    @property
    def state(self) -> str:
        return self.kind.after if self.is_done else self.kind.before

    def run(self, folder: Path) -> None:
        path = folder / self.path
        if self.kind is Kind.OBSOLETE:
            remove(path)
        else:
            write_text(_beside(path) if self.kind.is_beside else path, self.text)
        self.is_done = True


class Plan:
    """The steps that make a folder of functions complete and current.

    names: the names of module and table. None: those of the record, else "users".

    Raises ProjectError if a name is taken, or something in the folder is not what it must be.
    """

    def __init__(self, folder: Path, *, module: str | None = None, table: str | None = None) -> None:
        self.folder = folder
        self.version = __version__
        self.record = Record.read(folder)
        recorded = Names() if self.record is None else self.record.names
        self.names = Names(module or recorded.module, table or recorded.table)
        files = render(self.names)
        self._wired = {path: files[path] for path in map("{}.ts".format, WIRED)}
        self._ours = {path: text for path, text in files.items() if path not in {*self._wired, *OWN}}
        self._own = {path: files[path] for path in OWN if path in files}
        self._check_version()
        if self.record is None or self.names != recorded:
            self._check_names(table)
        self.steps = [*self._steps_of_ours(), *self._steps_of_own(), *self._steps_of_wired()]

    def run(self, mode: Mode, *, write: bool) -> None:
        """Do the steps of a mode, and with `write` add lines to the team's own files.

        INIT writes files of ours only if none of them is of another version: a mixture would not work.
        """
        if mode is Mode.CHECK:
            return
        if mode is Mode.UPGRADE or not self.needs_upgrade:
            bases = {} if self.record is None else self.record.bases
            Record(self.previous or self.version, self.names, bases).write(
                self.folder
            )  # a run that is interrupted is completed
            for step in self.steps:
                if mode in step.kind.modes:
                    step.run(self.folder)
            waiting = {step.path for step in self.steps if step.kind is Kind.WAITING}
            kept = {path: text for path, text in bases.items() if path in waiting}
            Record(self.version, self.names, {**self._ours, **kept}).write(self.folder)
        for step in self.steps:
            if write and step.kind is Kind.LACKS:
                step.run(self.folder)

    @property
    def needs_upgrade(self) -> bool:
        """Whether some files are of another version than this package."""
        return any(step.kind.needs_upgrade for step in self.steps)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return not any(step.is_open for step in self.steps)

    @property
    def previous(self) -> str | None:
        """The version of the functions that were in the folder, or None if init had not written them."""
        return None if self.record is None else self.record.version

    def _check_version(self) -> None:
        if self.record is not None and is_newer(self.record.version, self.version):
            raise ProjectError(
                f"The functions in {self.folder} are of version {self.record.version}, and this package is"
                f" {self.version}. Upgrade it: pip install -U clerk-convex."
            )
        version = _version_of_convex(self.folder)
        if version is not None and tuple(map(int, re.findall(r"\d+", version)[:2])) < _LOWEST_CONVEX:
            raise ProjectError(
                f"The functions need convex 1.31 or newer, and this project has {version}. Run there:"
                " npm install convex@latest"
            )

    def _check_names(self, table: str | None) -> None:
        """Raise ProjectError if a file or a table of the team has a name that ours would have."""
        module = self.folder / self.names.file
        taken = next(
            (path for path in map(module.with_suffix, (".ts", ".js", ".tsx", ".jsx")) if is_file(path)), None
        )
        if taken is not None and not _OURS.search(read_text(taken)):
            raise ProjectError(
                f"{taken} is yours. Give the module of our functions another name: --module clerkUsers."
            )
        exist = [path for path in self._ours if path.startswith("clerk/") and is_file(self.folder / path)]
        exist += [path for path, ours in self._own.items() if len(self._lacking(path)) == len(exports(ours))]
        if exist and not any(mark in exist for mark in _MARKS):
            raise ProjectError(
                f"{self.folder / exist[0]} is yours. The folder clerk/ is for our files: move yours away."
            )
        file = has_table(self.folder, self.names.table) if table is None else None
        if file is not None:
            raise ProjectError(
                f"{file} has a table {self.names.table}. Put ours beside it with --table clerkUsers, or make"
                f" both one with --table {self.names.table}: `clerk-convex adopt` links its rows to Clerk."
            )

    def _steps_of_ours(self) -> Iterator[Step]:
        bases = {} if self.record is None else self.record.bases
        for path, new in self._ours.items():
            step = self._step(path, new, bases.get(path))
            if step is not None:
                yield step
        for path in sorted(bases.keys() - self._ours.keys()):
            if is_file(self.folder / path):
                is_changed = read_text(self.folder / path) != bases[path]
                yield Step(path, Kind.LEFT if is_changed else Kind.OBSOLETE)

    def _step(self, path: str, new: str, base: str | None) -> Step | None:
        file = self.folder / path
        if not is_file(file):
            return Step(path, Kind.MISSING, new)
        now = read_text(file)
        if now == new:
            return None
        if base is None:
            return Step(path, Kind.FOREIGN, new)
        if is_file(_beside(file)) and (base == new or read_text(_beside(file)) != new):
            return Step(path, Kind.WAITING)
        if base == new:
            return Step(path, Kind.CHANGED)
        if now == base:
            return Step(path, Kind.OLD, new)
        merged = merge(now, base, new)
        return Step(path, Kind.CONFLICT, new) if merged is None else Step(path, Kind.MERGE, merged)

    def _steps_of_own(self) -> Iterator[Step]:
        for path, text in self._own.items():
            if not is_file(self.folder / path):
                yield Step(path, Kind.MISSING, text)
            elif lacking := self._lacking(path):
                where = "This file is yours, and our functions need from it:"
                yield Step(path, Kind.BY_HAND, lines=(where, *(f"  {line}" for line in lacking)))
            elif (renewed := _renewed(path, read_text(self.folder / path))) is not None:
                yield Step(path, Kind.RENEWED, renewed)

    def _lacking(self, path: str) -> list[str]:
        """Return the exports of our file that the team's own file of that name does not have."""
        if not is_file(self.folder / path):
            return []
        code = Source(read_text(self.folder / path)).code
        return [
            line for name, line in exports(self._own[path]).items() if not re.search(rf"\b{name}\b", code)
        ]

    def _steps_of_wired(self) -> Iterator[Step]:
        for path, ours in self._wired.items():
            file = self.folder / path
            if not is_file(file) and is_file(file.with_suffix(".js")):
                file = file.with_suffix(".js")
            if not is_file(file):
                yield Step(path, Kind.MISSING, ours)
                continue
            text = read_text(file)
            name = file.relative_to(self.folder).as_posix()
            wired = WIRED[path.removesuffix(".ts")](text, file.suffix[1:], ours)
            if path == "schema.ts" and (taken := has_table(self.folder, self.names.table)):
                where = _TABLES_IN_ONE.format(table=self.names.table, file=taken.relative_to(self.folder))
                wired = ByHand(where, ('import { clerkTables } from "./clerk/tables";', "...clerkTables,"))
            if isinstance(wired, ByHand):
                yield Step(name, Kind.BY_HAND, lines=(wired.where, *(f"  {line}" for line in wired.lines)))
            elif wired is not None:
                yield Step(name, Kind.LACKS, wired, _diff(text, wired, name))


def _renewed(path: str, text: str) -> str | None:
    """Return a team's own file without the index that is gone, or None if the file does not use it."""
    if path not in _REPLACED:
        return None
    old, new, needed = _REPLACED[path]
    renewed, count = old.subn(lambda _: new, text)
    return needed + renewed if count else None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _diff(before: str, after: str, name: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=1)
    return tuple(lines)


def _version_of_convex(folder: Path) -> str | None:
    """Return the version of the npm package convex that the project has installed, or None."""
    whole = folder.resolve()
    for place in (whole, *whole.parents):
        file = place / "node_modules" / "convex" / "package.json"
        if is_file(file):
            found = re.search(r'"version"\s*:\s*"(\d+\.\d+[^"]*)"', read_text(file))
            return None if found is None else found[1]
    return None
