"""Tells whether a user is gone from Clerk.

One 404 does not prove enough: a gateway may have sent it, and its stamp is up to some seconds too early. An
event of the user's last second would then count as later, and would bring the row back. The second call is
made after the latest moment at which the first may have looked, so its stamp is later than all that ever
happened to the user. If it is not, by the dates in Clerk's answers, the user counts as present.
"""

from __future__ import annotations

import asyncio

from clerk_convex.clerk.api import Clerk, Snapshot
from clerk_convex.errors import ClerkNotFound, ClerkUnavailable

__all__ = ["SECOND_LOOK", "is_gone", "user_or_absence"]

SECOND_LOOK = 5.0
"""Seconds after the first 404: dates have whole seconds (1), and clocks may differ (1), at both looks, and
the second stamp must be the later one (1)."""


def is_gone(first: ClerkNotFound, second: ClerkNotFound) -> bool:
    """Return whether two 404 of the same user prove that the user is gone."""
    return second.observed_at > first.gone_by


async def user_or_absence(clerk: Clerk, user_id: str) -> tuple[Snapshot, bool]:
    """Return the user and True, or what Clerk leaves of a deleted user and False. Raises ClerkError."""
    try:
        return await clerk.get_user(user_id), True
    except ClerkNotFound as error:
        first = error
    await asyncio.sleep(SECOND_LOOK)
    try:
        return await clerk.get_user(user_id), True
    except ClerkNotFound as second:
        if is_gone(first, second):
            deleted = {"id": user_id, "object": "user", "deleted": True}
            return Snapshot(deleted, second.observed_at), False
    raise ClerkUnavailable("Clerk does not have this user, and could not prove it. Try again in a moment.")
