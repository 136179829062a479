"""The command: python -m clerk_convex.backfill"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import cast

from clerk_convex.backfill.comparison import verify
from clerk_convex.backfill.display import Bar, Lines
from clerk_convex.backfill.duplicates import repair_duplicates
from clerk_convex.backfill.env_file import load_env_file
from clerk_convex.backfill.report import OnProgress, Repair, Report, Verification
from clerk_convex.backfill.run import CONCURRENCY, backfill
from clerk_convex.backfill.session import PATIENCE
from clerk_convex.errors import ClerkConvexError, ClerkMisconfigured, DeploymentMisconfigured, SettingsError

DONE, NOT_ALL, WRONG, INTERRUPTED = 0, 1, 2, 130

DESCRIPTION = """
  python -m clerk_convex.backfill && python -m clerk_convex.backfill --verify

Writes every user of Clerk to Convex. Needs CLERK_SECRET_KEY, CONVEX_URL and CONVEX_DEPLOY_KEY in the
environment or in --env-file. Safe to run again, to stop at any time, and while webhooks arrive. A stopped run
is resumed. For cron: python -m clerk_convex.backfill --nightly --env-file .env"""

# The modes, and the options that each does not take.
_NOT_WITH = {
    "--verify": ("--dry-run", "--prune", "--restart"),
    "--repair-duplicates": ("--verify", "--prune", "--restart"),
    "--nightly": ("--repair-duplicates", "--verify", "--dry-run", "--prune", "--yes", "--json"),
}

EPILOG = """\
exit status: 0 done, or equal; 1 not everything was written, or not equal; 2 usage, settings, a rejected key
or another instance's; 130 interrupted. The result is on stdout, everything else on stderr."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status that --help describes."""
    options = _parse(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if options.debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    else:  # the report says all that the package logs
        logging.getLogger("clerk_convex").addHandler(logging.NullHandler())
    interrupt, terminate = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    signal.signal(signal.SIGTERM, _interrupt)
    display = _display(options)
    try:
        if options.env_file is not None:
            load_env_file(options.env_file)
        return asyncio.run((_run_nightly if options.nightly else _run)(options, display))
    except KeyboardInterrupt:
        display.end()
        wrote_nothing = options.verify or options.dry_run
        then = "Nothing was written." if wrote_nothing else "The same command resumes from here."
        _say(f"Interrupted. {then}")
        return INTERRUPTED
    except ClerkConvexError as error:
        display.end()
        _say(traceback.format_exc() if options.debug else str(error))
        return _status(error)
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


async def _run(options: argparse.Namespace, display: OnProgress) -> int:
    result: Report | Verification | Repair
    if options.verify:
        result = await _verify(options, display)
        status = DONE if result.equal else NOT_ALL
    elif options.repair_duplicates:
        result = await repair_duplicates(
            dry_run=options.dry_run, patience=options.patience, on_progress=display
        )
        status = DONE
    else:
        result = await _backfill(options, display, prune=options.prune)
        status = DONE if result.ok else _status(result.error)
    display.end()
    try:
        sys.stdout.write(f"{json.dumps(result.to_json()) if options.json else result}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output is gone. The rest of it must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


async def _run_nightly(options: argparse.Namespace, display: OnProgress) -> int:
    """Backfill with --prune, then verify. Problems go to stderr, nothing goes to stdout."""
    report = await _backfill(options, display, prune=True)
    if not report.ok:
        _say(str(report))
    if report.error is not None:
        return _status(report.error)
    verification = await _verify(options, display)
    if not verification.equal:
        _say(str(verification))
    return DONE if report.ok and verification.equal else NOT_ALL


async def _backfill(options: argparse.Namespace, display: OnProgress, *, prune: bool) -> Report:
    return await backfill(
        dry_run=options.dry_run,
        prune=prune,
        yes=options.yes,
        restart=options.restart,
        concurrency=options.concurrency,
        patience=options.patience,
        on_progress=display,
    )


async def _verify(options: argparse.Namespace, display: OnProgress) -> Verification:
    return await verify(concurrency=options.concurrency, patience=options.patience, on_progress=display)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM as Ctrl-C: release the run, so that the next one can resume it at once."""
    # Called, not sent: asyncio would see a signal that another one's handler sends only when it wakes up.
    handler = cast("Callable[[int, FrameType | None], None]", signal.getsignal(signal.SIGINT))
    handler(signal.SIGINT, frame)


def _status(error: ClerkConvexError | None) -> int:
    lasting = (SettingsError, ClerkMisconfigured, DeploymentMisconfigured)
    return WRONG if isinstance(error, lasting) else NOT_ALL


def _display(options: argparse.Namespace) -> OnProgress:
    if options.quiet or options.nightly:
        return OnProgress()
    return Bar(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m clerk_convex.backfill",
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dry-run", action="store_true", help="write nothing; report what would be written")
    add("--prune", action="store_true", help="also remove the rows of users whom Clerk does not have")
    add("--yes", action="store_true", help="with --prune: even more than 10 rows and 5 %% of all")
    add("--verify", action="store_true", help="write nothing; compare Convex with Clerk")
    add("--nightly", action="store_true", help="--prune, then --verify; prints nothing if all is well")
    add("--repair-duplicates", action="store_true", help="remove all rows but one of users with several")
    add("--restart", action="store_true", help="start anew; do not resume a run that was stopped")
    add("--env-file", metavar="FILE", help="settings that the environment does not have (dotenv)")
    add(
        "--concurrency",
        type=_count,
        default=CONCURRENCY,
        metavar="N",
        help=f"pages that are read at once (default: {CONCURRENCY})",
    )
    add(
        "--patience",
        type=_seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"retry failing calls of Clerk and Convex so long (default: {PATIENCE:.0f})",
    )
    add("--json", action="store_true", help="the result as JSON")
    add("--quiet", action="store_true", help="no progress")
    add("--debug", action="store_true", help="log what happens; show where an error came from")
    options = parser.parse_args(arguments)
    for mode, others in _NOT_WITH.items():
        given = [other for other in others if getattr(options, _attribute(other))]
        if getattr(options, _attribute(mode)) and given:
            parser.error(f"{mode} cannot be combined with {', '.join(given)}")
    if options.yes and not options.prune:
        parser.error("--yes belongs to --prune")
    return options


def _attribute(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _seconds(text: str) -> float:
    if not (text.isdecimal() and len(text) < 6):
        raise argparse.ArgumentTypeError("a number of seconds")
    return float(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError("a number from 1 to 64")
    return int(text)


if __name__ == "__main__":
    # A page is some 100,000 objects that come and go together. The collector looks for cycles each time
    # 700 have come: that would take much of the time and find none.
    gc.freeze()
    gc.set_threshold(200_000)
    sys.exit(main())
