"""The command `clerk-convex backfill`, also `python -m clerk_convex.backfill`."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clerk_convex.backfill import backfill, verify
from clerk_convex.backfill.display import display_on
from clerk_convex.backfill.nightly import nightly
from clerk_convex.backfill.report import OnProgress, Report, Verification
from clerk_convex.backfill.run import CONCURRENCY
from clerk_convex.backfill.session import PATIENCE
from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, say, status_of, write_result
from clerk_convex.errors import SettingsError
from clerk_convex.settings import Settings

DESCRIPTION = """
  python -m clerk_convex.backfill && python -m clerk_convex.backfill --verify

Writes every user of Clerk to Convex. Needs CLERK_SECRET_KEY, CONVEX_URL and CONVEX_DEPLOY_KEY in the
environment or in --env-file. Safe to run again, to stop at any time, and while webhooks arrive. A stopped run
is resumed. For cron: python -m clerk_convex.backfill --nightly --env-file .env"""

EXIT_STATUS = """\
0 done, or equal; 1 not everything was written, or not equal; 2 usage, settings, a rejected key
or another instance's; 130 interrupted. The result is on stdout, everything else on stderr."""

# The modes, and the options that each does not take.
_NOT_WITH = {
    "--verify": ("--dry-run", "--prune", "--restart", "--pace"),
    "--nightly": ("--verify", "--dry-run", "--prune", "--yes", "--json"),
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m clerk_convex.backfill") -> int:
    """Run the command and return the exit status that --help describes."""
    with _rare_garbage_collection():
        return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    display = _display(options)
    try:
        return await (_run_nightly if options.nightly else _run_once)(options, display)
    finally:
        display.end()


async def _run_once(options: Options, display: OnProgress) -> int:
    result: Report | Verification
    if options.verify:
        result = await _verify(options, display)
        status = DONE if result.equal else NOT_ALL
    else:
        result = await _backfill(options, display, prune=options.prune)
        status = DONE if result.ok else status_of(result.error)
    display.end()
    write_result(options, result)
    return status


async def _run_nightly(options: Options, display: OnProgress) -> int:
    """Backfill with --prune, then verify. Problems go to stderr, nothing goes to stdout."""
    report, verification = await nightly(
        _settings(options),
        restart=options.restart,
        concurrency=options.concurrency,
        patience=options.patience,
        on_progress=display,
    )
    if not report.ok:
        say(str(report))
    if verification is None:
        return status_of(report.error)
    if not verification.equal:
        say(str(verification))
    return DONE if report.ok and verification.equal else NOT_ALL


async def _backfill(options: Options, display: OnProgress, *, prune: bool) -> Report:
    return await backfill(
        _settings(options),
        dry_run=options.dry_run,
        prune=prune,
        yes=options.yes,
        restart=options.restart,
        concurrency=options.concurrency,
        patience=options.patience,
        on_progress=display,
    )


async def _verify(options: Options, display: OnProgress) -> Verification:
    return await verify(concurrency=options.concurrency, patience=options.patience, on_progress=display)


def _settings(options: Options) -> Settings:
    settings = Settings.from_env()
    if options.pace is None:
        return settings
    return settings.model_copy(update={"clerk_convex_pace": options.pace})


def _display(options: Options) -> OnProgress:
    if options.quiet or options.nightly:
        return OnProgress()
    return display_on(sys.stderr)


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    # A page is about 100,000 objects that are created and freed together. By default the collector searches
    # for cycles after every 700 new objects, which would take much of the time and find none.
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dry-run", action="store_true", help="write nothing; report what would be written")
    add("--prune", action="store_true", help="also remove the rows of users that Clerk does not have")
    add("--yes", action="store_true", help="with --prune: remove even more than 10 rows and 5 %% of all")
    add("--verify", action="store_true", help="write nothing; compare Convex with Clerk")
    add("--nightly", action="store_true", help="--prune, then --verify; prints nothing if all is well")
    add("--restart", action="store_true", help="start anew; do not resume a run that was stopped")
    add(
        "--concurrency",
        type=_count,
        default=CONCURRENCY,
        metavar="N",
        help=f"pages that are read concurrently (default: {CONCURRENCY})",
    )
    add(
        "--patience",
        type=_seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"how long to retry failing calls of Clerk and Convex (default: {PATIENCE:.0f})",
    )
    add(
        "--pace",
        type=_mebibytes,
        metavar="MIB",
        help="written to Convex per second, at most (default: CLERK_CONVEX_PACE, 2)",
    )
    add("--quiet", action="store_true", help="no progress")


def _check(parser: argparse.ArgumentParser, options: Options) -> None:
    for mode, others in _NOT_WITH.items():
        given = [other for other in others if getattr(options, _attribute(other))]
        if getattr(options, _attribute(mode)) and given:
            parser.error(f"{mode} cannot be combined with {', '.join(given)}")
    if options.yes and not options.prune:
        parser.error("--yes belongs to --prune")


def _when_interrupted(options: Options) -> str:
    wrote_nothing = options.verify or options.dry_run
    return "Nothing was written." if wrote_nothing else "The same command resumes from here."


def _attribute(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _seconds(text: str) -> float:
    if not (text.isdecimal() and len(text) < 6):
        raise argparse.ArgumentTypeError("a number of seconds")
    return float(text)


def _mebibytes(text: str) -> float:
    try:
        return Settings(clerk_convex_pace=text).clerk_convex_pace  # type: ignore[arg-type] # it is parsed
    except SettingsError:
        raise argparse.ArgumentTypeError("a number of MiB from 0.1 to 1000") from None


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError("a number from 1 to 64")
    return int(text)


COMMAND = Command(
    description=DESCRIPTION,
    exit_status=EXIT_STATUS,
    add_options=_add_options,
    run=_run,
    check=_check,
    when_interrupted=_when_interrupted,
)
