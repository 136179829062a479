"""The command `clerk-convex`: find the subcommand and run it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

PROG = "clerk-convex"

# Of each subcommand: the module whose `main(arguments, prog)` runs it, and a line for --help.
# A module is imported when its command runs.
COMMANDS = {
    "adopt": ("clerk_convex.cli.adopt", "link the rows of a table that existed before to Clerk's users"),
    "backfill": ("clerk_convex.cli.backfill", "write all users of Clerk to Convex, or compare both"),
    "follow": ("clerk_convex.cli.follow", "write what no webhook brought, once a minute"),
    "init": ("clerk_convex.cli.init", "copy the Convex functions into a project, and upgrade them"),
    "status": ("clerk_convex.cli.status", "what is synced, how fresh it is, and what was refused"),
    "repair": ("clerk_convex.cli.repair", "write single users as Clerk has them, or merge duplicates"),
    "export": ("clerk_convex.cli.export", "print all that Convex stores of a person"),
    "forget": ("clerk_convex.cli.forget", "erase what Convex stores of a person"),
    "doctor": ("clerk_convex.cli.doctor", "check that everything is set up right, and say what to do"),
    "local": ("clerk_convex.local.__main__", "run a local Clerk, a local Convex and the service"),
}

DESCRIPTION = """
  clerk-convex backfill --dry-run

Keeps the Convex users table equal to Clerk. Each command has --help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status."""
    options = _parser().parse_args(arguments)
    if "" not in sys.path:  # as `python -m` does, for the module of CLERK_CONVEX_FIELDS
        sys.path.insert(0, "")
    module, _ = COMMANDS[options.command]
    return int(importlib.import_module(module).main(options.arguments, prog=f"{PROG} {options.command}"))


def _parser() -> argparse.ArgumentParser:
    from clerk_convex import __version__

    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, (_, line) in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage="%(prog)s COMMAND [options]",
        description=DESCRIPTION,
        epilog="\n".join(["commands:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser
