"""The command `clerk-convex forget`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from clerk_convex.backfill import find_user
from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, say, user_id, write_result
from clerk_convex.service import Service
from clerk_convex.settings import Settings
from clerk_convex.upkeep import forget_person

DESCRIPTION = """
  clerk-convex forget user_2abc --env-file .env         says what would be erased
  clerk-convex forget user_2abc --env-file .env --yes   erases it

Erases what Convex stores of a person whom Clerk does not have any more: the row, refused changes, and the
Clerk id in the audit log, whose entries keep a pseudonym. Says what stays. Needs CLERK_SECRET_KEY, CONVEX_URL
and CONVEX_DEPLOY_KEY."""

EXIT_STATUS = """\
0 done; 1 Clerk still has the user, or Clerk or Convex could not be reached; 2 usage,
settings or a rejected key; 130 interrupted."""

_STILL_THERE = (
    "Clerk still has this user, so nothing was erased. Delete the user at Clerk first. With --still-at-clerk"
    " the row is erased all the same and stays erased: the person can sign in, but has no row any more."
)


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex forget") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    settings = Settings.from_env()
    if not options.still_at_clerk and (await find_user(Service(settings).clerk, options.user)).users:
        say(_STILL_THERE)
        return NOT_ALL
    write_result(options, await forget_person(options.user, settings, dry_run=not options.yes))
    return DONE


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("user", type=user_id, metavar="USER", help="the Clerk id of the person, user_…")
    add("--yes", action="store_true", help="erase; without it nothing is written")
    add("--still-at-clerk", action="store_true", help="erase a user whom Clerk has; does not ask Clerk")


def _when_interrupted(options: Options) -> str:
    return "The same command does the rest." if options.yes else "Nothing was written."


COMMAND = Command(
    description=DESCRIPTION,
    exit_status=EXIT_STATUS,
    add_options=_add_options,
    run=_run,
    arguments="USER",
    when_interrupted=_when_interrupted,
)
