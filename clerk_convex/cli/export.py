"""The command `clerk-convex export`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from clerk_convex.cli.command import DONE, Command, Options, say, user_id, write_result
from clerk_convex.upkeep import export_person

DESCRIPTION = """
  clerk-convex export user_2abc --env-file .env > user_2abc.json

Prints as JSON all that Convex stores of a person: the row, its version, the entries of the audit log that the
person is the subject or the actor of, refused changes and backfills. Needs CONVEX_URL and
CONVEX_DEPLOY_KEY."""

EXIT_STATUS = """\
0 done, also if nothing is stored; 1 Convex could not be reached; 2 usage, settings or a
rejected key; 130 interrupted."""


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex export") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    person = await export_person(options.user)
    write_result(options, person)
    if not person.is_known:
        say("Convex stores nothing of this person. Is it the right deployment?")
    return DONE


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", type=user_id, metavar="USER", help="the Clerk id of the person, user_…")


COMMAND = Command(
    description=DESCRIPTION, exit_status=EXIT_STATUS, add_options=_add_options, run=_run, arguments="USER"
)
