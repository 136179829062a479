"""Check the package against a Convex deployment: `scripts/smoke --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

from clerk_convex import __version__
from clerk_convex.convex import Deployment
from clerk_convex.errors import ClerkConvexError
from tests.smoke.checks import CALL_SECONDS, CHECKS, ONLY_REAL, Check, Smoke
from tests.smoke.target import KEY, URL, Refused, Target, local, remote

DESCRIPTION = f"""
  {URL}=https://… {KEY}='…|…' scripts/smoke
  scripts/smoke --local --json > local.json

Deploys the functions to an empty deployment of yours, checks what this package relies on, removes what it
wrote, and prints a report. It refuses a deployment that has rows. With --local it checks a local Convex, to
compare. Prepend a space to the first line, and your shell may keep the key out of its history."""

EXIT_STATUS = """\
0 all checks passed; 1 a check failed; 2 usage, a variable is missing, the deployment is in use,
or it cannot be reached; 130 interrupted."""

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Result:
    """The end of one check."""

    name: str
    ok: bool
    found: str
    """What was found, equal on each deployment where all is well; or what failed."""
    measured: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Report:
    """The results of a run. `str()` is for a person, `asdict()` for a program."""

    target: str
    version: str
    is_local: bool
    checks: list[Result]
    only_real: tuple[str, ...] = ONLY_REAL

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        lines = [f"clerk-convex {self.version} at {self.target}"]
        for check in self.checks:
            lines.append(f"  {'✓' if check.ok else '✗'} {check.name}: {check.found}")
            lines += [f"      {name}: {value:,g}" for name, value in check.measured.items()]
        failed = sum(not check.ok for check in self.checks)
        lines.append(f"{len(self.checks) - failed} of {len(self.checks)} checks passed.")
        if self.is_local:
            lines += [
                "Deploying was skipped: the local Convex loads the folder. Only a real deployment shows"
            ]
            lines += [f"  - {what}" for what in self.only_real]
        return "\n".join(lines)


async def run(target: Target, chosen: Sequence[Check]) -> Report:
    """Run the checks, and leave empty tables."""
    results = []
    service = Deployment(target.url, target.key, timeout=CALL_SECONDS)
    try:
        for check in chosen:
            smoke = Smoke(target, service)
            try:
                results.append(await _result(check, smoke))
            finally:
                await smoke.clear()
        left = await Smoke(target, service).occupied()
        found = f"rows are left in {', '.join(left)}" if left else "no row is left"
        results.append(Result("cleaned up", not left, found, {}, 0.0))
    finally:
        await service.aclose()
    return Report(target.name, __version__, target.is_local, results)


async def _result(check: Check, smoke: Smoke) -> Result:
    started = time.monotonic()
    try:
        found, ok = await check(smoke), True
    except Exception as error:  # noqa: BLE001 - however a check fails, the others still say something
        found, ok = f"{type(error).__name__}: {error}", False
    name = check.__name__.replace("_", " ")
    return Result(name, ok, found, smoke.measured, round(time.monotonic() - started, 1))


def main(
    arguments: Sequence[str] | None = None,
    deployed: Callable[[], AbstractContextManager[Target]] = remote,
) -> int:
    """Run the command and return the exit status that --help describes."""
    known = {check.__name__: check for check in CHECKS}
    parser = argparse.ArgumentParser(
        prog="scripts/smoke",
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        epilog=f"exit status: {EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--local", action="store_true", help="check a local Convex")
    parser.add_argument(
        "--only", action="append", choices=known, metavar="CHECK", help=f"one of {', '.join(known)}"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    chosen = [known[name] for name in options.only or known]
    # Some checks make functions fail on purpose. What matters of it is in the report.
    logging.getLogger("clerk_convex").addHandler(logging.NullHandler())
    try:
        with local() if options.local else deployed() as target:
            report = asyncio.run(run(target, chosen))
            text = json.dumps({**asdict(report), "ok": report.ok}) if options.json else str(report)
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()  # before the last deploy, which may fail
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Run it again: it says whether rows are left.\n")
        return INTERRUPTED
    except (Refused, ClerkConvexError) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    return DONE if report.ok else FAILED


if __name__ == "__main__":
    sys.exit(main())
