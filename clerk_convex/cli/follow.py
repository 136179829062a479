"""The command `clerk-convex follow`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from clerk_convex.backfill.follow import CONCURRENCY, EVERY, PATIENCE, SHARE, Follower, Pass
from clerk_convex.backfill.report import OnProgress
from clerk_convex.backfill.session import Session
from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, say, write_result
from clerk_convex.settings import Settings

DESCRIPTION = """
  clerk-convex follow --env-file .env

Asks Clerk once a minute what has changed, and writes to Convex what no webhook brought, until it is stopped.
The first pass reads all users. Of several followers one works, and another takes over when it ends. Needs
CLERK_SECRET_KEY, CONVEX_URL and CONVEX_DEPLOY_KEY."""

EXIT_STATUS = """\
0 done, with --once; 1 Clerk or Convex could not be reached, a user failed, or with --once
another follower works; 2 usage, settings or a rejected key; 130 interrupted."""


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex follow") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


class _Notes(OnProgress):
    def note(self, text: str) -> None:
        say(text)


async def _run(options: Options) -> int:
    notes = OnProgress() if options.quiet else _Notes()
    opened = Session.open(
        Settings.from_env(),
        concurrency=CONCURRENCY,
        dry_run=False,
        patience=PATIENCE,
        share=SHARE,
        on_progress=notes,
    )

    def show(done: Pass) -> None:
        if not done.is_empty:
            write_result(options, done)

    async with opened as session:
        await session.preflight()
        follower = Follower(session, every=options.every, on_pass=show, on_progress=notes)
        if not options.once:
            notes.note(f"Following Clerk every {options.every:g} s. Ctrl-C ends it.")
            await follower.run()
        try:
            done = await follower.turn()
        finally:
            await follower.release()
    if done is None:
        return NOT_ALL
    write_result(options, done)
    return NOT_ALL if done.needs_a_person else DONE


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--every",
        type=_seconds,
        default=EVERY,
        metavar="SECONDS",
        help=f"from one pass to the next (default: {EVERY:.0f})",
    )
    add("--once", action="store_true", help="make one pass and end")
    add("--quiet", action="store_true", help="no notes; only what was written")


def _seconds(text: str) -> float:
    if not (text.isdecimal() and 1 <= int(text[:5]) <= 3600):
        raise argparse.ArgumentTypeError("a number of seconds from 1 to 3600")
    return float(text)


def _when_interrupted(options: Options) -> str:
    return "Another follower can take over at once; the next pass begins where the last one ended."


COMMAND = Command(
    description=DESCRIPTION,
    exit_status=EXIT_STATUS,
    add_options=_add_options,
    run=_run,
    when_interrupted=_when_interrupted,
)
