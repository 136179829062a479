"""Users and scenarios for a local set: sign-ups, a fixed scenario with a comparison, and a live table."""

from clerk_convex.local.demo.live import run_live
from clerk_convex.local.demo.people import ODDITIES, ordinary
from clerk_convex.local.demo.scenario import begin, once, sign_up

__all__ = ["ODDITIES", "begin", "once", "ordinary", "run_live", "sign_up"]
