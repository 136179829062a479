"""For tests of a team: signed events for its webhook, and the local set that the pytest plugin gives."""

from clerk_convex.testing.caller import Caller
from clerk_convex.testing.events import event, signed, user
from clerk_convex.testing.local_set import LocalSet

__all__ = ["Caller", "LocalSet", "event", "signed", "user"]
