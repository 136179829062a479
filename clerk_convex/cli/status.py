"""The command `clerk-convex status`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, write_result
from clerk_convex.upkeep import read_status

DESCRIPTION = """
  clerk-convex status --env-file .env

Says from Convex alone what is synced and how fresh it is: users by status, the last webhook and backfill,
what was refused and why, and what the last nightly run found. Needs CONVEX_URL and CONVEX_DEPLOY_KEY."""

EXIT_STATUS = """\
0 nothing waits for a person; 1 something does (refused changes, a stopped backfill,
differences), or Convex could not be reached; 2 usage, settings or a rejected key; 130 interrupted."""


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex status") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    status = await read_status()
    write_result(options, status)
    return DONE if status.ok else NOT_ALL


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add none: the common ones are all."""


COMMAND = Command(description=DESCRIPTION, exit_status=EXIT_STATUS, add_options=_add_options, run=_run)
