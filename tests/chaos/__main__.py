"""Break everything between Clerk and Convex for some minutes, then compare: `scripts/chaos --help`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from tests.chaos.run import ROUND, Options, Report, run_in_rounds

DESCRIPTION = """
  scripts/chaos --seconds 300 --seed 7

Changes users at a local Clerk, whose webhooks come twice, late and shuffled to several workers. Between the
workers, backfills, Clerk and Convex answers are lost, cut, held or replaced, and workers and backfills are
killed with -9. In the end rows, tombstones, totals and audit log are compared with what happened."""

EXIT_STATUS = "0 lost nothing; 1 something differs; 2 usage; 130 interrupted."
DONE, LOST, INTERRUPTED = 0, 1, 130
SECONDS = 300.0
SHOWN = 20  # differences that are listed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status that --help describes."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        epilog=f"exit status: {EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=_positive, help=f"end after this time (default: {SECONDS:.0f}, without --events)")
    add(
        "--events",
        type=_count,
        help=f"end after this number of changes; more than {ROUND:,} in rounds, each of its own seed",
    )
    add("--seed", type=int, default=Options.seed, help="of the plan (default: %(default)s)")
    add(
        "--workers",
        type=_count,
        default=Options.workers,
        help="processes of the service (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    seconds = options.seconds or (None if options.events else SECONDS)
    # The faults make parts of this process complain. What matters of it is in the report.
    logging.getLogger("clerk_convex").addHandler(logging.NullHandler())
    chosen = Options(seconds=seconds, events=options.events, seed=options.seed, workers=options.workers)
    report: Report | None = None
    interrupted = False
    try:
        for part in run_in_rounds(chosen, _say):
            report = part if report is None else report + part
            _say(f"together {report.events:,} events, lost {len(report.differences)}")
    except KeyboardInterrupt:
        _say("Interrupted.")
        interrupted = True
    if report is not None:  # of the rounds that ended
        _print(report)
    if interrupted:
        return INTERRUPTED
    return LOST if report is not None and report.differences else DONE


def _print(report: Report) -> None:
    sys.stdout.write(f"{report}\n")
    for line in report.differences[:SHOWN]:
        sys.stdout.write(f"  {line}\n")
    if len(report.differences) > SHOWN:
        sys.stdout.write(f"  and {len(report.differences) - SHOWN} more\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("give a number of seconds greater than 0.")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give a number from 1 on.")
    return value


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the workers end, too
    sys.exit(main())
