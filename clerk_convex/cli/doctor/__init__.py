"""The command `clerk-convex doctor`: is everything set up right, and if not, what is to be done?"""

from clerk_convex.cli.doctor.command import main

__all__ = ["main"]
