"""The command line of the adoption of rows that existed before."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from clerk_convex.backfill.adoption import COLUMNS, Adoption, By, Kind, RowCheck, adopt, check_rows
from clerk_convex.backfill.display import display_on
from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, write_result

DESCRIPTION = """
  clerk-convex adopt --by-email --dry-run

Links the rows of a users table that existed before to Clerk's users. Needs CLERK_SECRET_KEY, CONVEX_URL and
CONVEX_DEPLOY_KEY, and the schema looseClerkTables. A link is never replaced, so it is safe to run again. Then
run clerk-convex backfill, which fills the rows; --check says when the final schema takes them."""

EXIT_STATUS = """\
0 no row is left without a Clerk id, or ready; 1 some are left, or not ready; 2 usage, settings or
a rejected key; 130 interrupted. The result is on stdout, everything else on stderr."""


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex adopt") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    display = display_on(sys.stderr)
    try:
        result: Adoption | RowCheck
        if options.check:
            result = await check_rows(on_progress=display)
        else:
            result = await adopt(by=_by(options), dry_run=options.dry_run, on_progress=display)
    finally:
        display.end()
    write_result(options, result)
    return DONE if result.ok else NOT_ALL


def _by(options: Options) -> By:
    kind: Kind = "column" if options.by_column else "token" if options.by_token else "email"
    return By(kind, options.by_column or options.column or COLUMNS[kind])


def _add_options(parser: argparse.ArgumentParser) -> None:
    modes = parser.add_mutually_exclusive_group(required=True)
    modes.add_argument(
        "--by-column", metavar="NAME", help="match by the column that has the Clerk id, user_…"
    )
    modes.add_argument(
        "--by-token", action="store_true", help="match by Convex's token identifier, issuer|user_…"
    )
    modes.add_argument("--by-email", action="store_true", help="match by an address that Clerk has verified")
    modes.add_argument(
        "--check", action="store_true", help="write nothing; name what the final schema refuses"
    )
    add = parser.add_argument
    add("--column", metavar="NAME", help="the column of --by-token or --by-email, if not the usual one")
    add("--dry-run", action="store_true", help="write nothing; report what would be linked")


def _check(parser: argparse.ArgumentParser, options: Options) -> None:
    if options.column and not (options.by_token or options.by_email):
        parser.error("--column belongs to --by-token or --by-email")
    if options.dry_run and options.check:
        parser.error("--check cannot be combined with --dry-run")


def _when_interrupted(options: Options) -> str:
    wrote_nothing = options.check or options.dry_run
    return "Nothing was written." if wrote_nothing else "The same command continues from here."


COMMAND = Command(
    description=DESCRIPTION,
    exit_status=EXIT_STATUS,
    add_options=_add_options,
    run=_run,
    check=_check,
    when_interrupted=_when_interrupted,
)
