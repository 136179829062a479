"""The command `clerk-convex init`: the Convex functions in a team's project, and their upgrades."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, write_result
from clerk_convex.project import Kind, Mode, Plan, find_folder

DESCRIPTION = """
  clerk-convex init --write

Copies the Convex functions into convex/ (or where convex.json says). Lines that your schema.ts, crons.ts and
auth.config.ts lack are shown as a diff, and written with --write; a file that you do not have is created. A
second run changes nothing. After an upgrade of this package: clerk-convex init --upgrade"""

EXIT_STATUS = """\
0 all is there and current; 1 something is left to do, and the result says
what; 2 usage, a name that is taken, or no project; 130 interrupted. The result is on stdout."""


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex init") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    mode = Mode.CHECK if options.check else Mode.UPGRADE if options.upgrade else Mode.INIT
    plan = Plan(find_folder(options.into), module=options.module, table=options.table)
    plan.run(mode, write=options.write)
    write_result(options, _Result(plan, mode, options.into))
    return DONE if plan.is_complete else NOT_ALL


@dataclass(frozen=True, slots=True)
class _Result:
    """The result: each file with the step that was taken, and the steps that are left."""

    plan: Plan
    mode: Mode
    into: str | None

    def __str__(self) -> str:
        names, version = self.plan.names, self.plan.version
        if self.plan.previous not in {None, version}:
            version = f"{self.plan.previous}, of this package {version}"
        lines = [f"{self._folder}: functions {version}; module {names.module}, table {names.table}"]
        lines += self._files()
        lines += self._lines()
        lines += [f"Next: {step}" for step in self._next()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "ok": plan.is_complete,
            "folder": self._folder,
            "version": plan.version,
            "previousVersion": plan.previous,
            "module": plan.names.module,
            "table": plan.names.table,
            "files": [
                {
                    "path": step.path,
                    "kind": step.kind.name.lower(),
                    "done": step.is_done,
                    **({"lines": list(step.lines)} if step.lines else {}),
                }
                for step in plan.steps
            ],
            "next": self._next(),
        }

    @property
    def _folder(self) -> str:
        return Path(self.plan.folder).as_posix()

    def _files(self) -> list[str]:
        """Return a line for each state, with the files in it."""
        states: dict[str, list[str]] = {}
        for step in self.plan.steps:
            states.setdefault(step.state, []).append(step.path)
        if not states:
            return ["  all files are there and current"]
        return [f"  {state}: {_listed(paths)}" for state, paths in states.items()]

    def _lines(self) -> list[str]:
        steps = [step for step in self.plan.steps if step.lines and not step.is_done]
        return [line for step in steps for line in ("", *self._headed(step.path, step.lines), "")]

    @staticmethod
    def _headed(path: str, lines: tuple[str, ...]) -> tuple[str, ...]:
        return lines if lines[0].startswith("--- ") else (f"{path}: {lines[0]}", *lines[1:])

    def _next(self) -> list[str]:
        """Return what is left to do, each as a command or a sentence."""
        plan = self.plan
        kinds = {step.kind for step in plan.steps if step.is_open}
        command = "clerk-convex init" + (f" --into {shlex.quote(self.into)}" if self.into else "")
        steps: list[str] = []
        for step in plan.steps:
            if step.is_open and (step.kind is Kind.WAITING or (step.is_done and step.kind.is_beside)):
                path = f"{self._folder}/{step.path}"
                steps.append(f"merge {path}.new into {path}, and remove {path}.new")
        if Kind.BY_HAND in kinds:
            steps.append("add the lines above by hand")
        if any(not step.is_done and step.kind.needs_upgrade for step in plan.steps):
            return [*steps, f"{command} --upgrade" + (" --write" if Kind.LACKS in kinds else "")]
        if kinds & {Kind.MISSING, Kind.LACKS}:
            return [*steps, command + (" --write" if Kind.LACKS in kinds else "")]
        if steps or self.mode is Mode.CHECK:
            return steps
        if not any(step.is_done for step in plan.steps):
            return []
        if any(step.path.startswith("auth.config") and step.is_done for step in plan.steps):
            steps.append(
                "npx convex env set --prod CLERK_JWT_ISSUER_DOMAIN https://… (Clerk's Frontend API URL)"
            )
        if plan.names.module != "users":
            steps.append(f"set CONVEX_USERS_MODULE={plan.names.module} for the service")
        return [*steps, "npx convex deploy"]


def _listed(paths: list[str]) -> str:
    """Return the paths, or only their folders if there are many."""
    if len(paths) <= 6:
        return ", ".join(paths)
    inside = [path for path in paths if path.startswith("clerk/")]
    return ", ".join([f"clerk/ ({len(inside)} files)", *(path for path in paths if path not in inside)])


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--into", metavar="DIR", help="the folder of functions, if not convex/ or what convex.json says")
    add("--module", metavar="NAME", help="another name than users for users.ts: clerkUsers, lib/users")
    add("--table", metavar="NAME", help="another name than users for the table")
    add("--write", action="store_true", help="add the missing lines to schema.ts, crons.ts, auth.config.ts")
    add("--check", action="store_true", help="write nothing; say what is missing, changed or old")
    add(
        "--upgrade",
        action="store_true",
        help="replace files of an older version; merge what you have changed",
    )


def _check(parser: argparse.ArgumentParser, options: Options) -> None:
    for name in ("into", "module", "table"):
        if getattr(options, name) == "":  # of a shell's variable that is not set
            parser.error(f"--{name} is empty")
    others = {
        "--upgrade": options.upgrade,
        "--write": options.write,
        "--module": options.module,
        "--table": options.table,
    }
    given = [name for name, value in others.items() if value]
    if options.check and given:
        parser.error(f"--check cannot be combined with {', '.join(given)}")


COMMAND = Command(
    description=DESCRIPTION,
    exit_status=EXIT_STATUS,
    add_options=_add_options,
    run=_run,
    check=_check,
    when_interrupted=lambda options: "The same command completes it.",
)
