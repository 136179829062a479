"""The command `clerk-convex repair`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from clerk_convex.backfill import repair_duplicates, repair_users
from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, user_id, write_result

DESCRIPTION = """
  clerk-convex repair user_2abc user_2def --env-file .env

Reads these users from Clerk and writes them to Convex through the rules, or deletes them if Clerk does not
have them. Or repairs the users whose changes were refused, or those with several rows. Needs
CLERK_SECRET_KEY, CONVEX_URL and CONVEX_DEPLOY_KEY."""

EXIT_STATUS = """\
0 done; 1 a user failed, or Clerk or Convex could not be reached; 2 usage, settings, a
rejected key or another instance's; 130 interrupted."""


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex repair") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    if options.duplicates:
        write_result(options, await repair_duplicates(dry_run=options.dry_run))
        return DONE
    repaired = await repair_users(None if options.refused else options.users, dry_run=options.dry_run)
    write_result(options, repaired)
    return DONE if repaired.ok else NOT_ALL


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("users", nargs="*", type=user_id, metavar="USER", help="the Clerk id of a user, user_…")
    add("--refused", action="store_true", help="the users whose changes were refused")
    add("--duplicates", action="store_true", help="remove all rows but one of users with several")
    add("--dry-run", action="store_true", help="write nothing; say what would be written")


def _check(parser: argparse.ArgumentParser, options: Options) -> None:
    if bool(options.users) + options.refused + options.duplicates != 1:
        parser.error("name users, or --refused, or --duplicates")


def _when_interrupted(options: Options) -> str:
    if options.dry_run:
        return "Nothing was written."
    return "What was written stays; the same command does the rest."


COMMAND = Command(
    description=DESCRIPTION,
    exit_status=EXIT_STATUS,
    add_options=_add_options,
    run=_run,
    check=_check,
    arguments="USER ...",
    when_interrupted=_when_interrupted,
)
