"""The command line: `clerk-convex --help`."""

from clerk_convex.cli.main import main

__all__ = ["main"]
