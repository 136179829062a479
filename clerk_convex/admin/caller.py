"""Asks Clerk itself for the caller of a write: the row in Convex is only as fresh as the last webhook.

What Clerk answers is written to Convex, and then Convex decides by its own rule whether the caller is an
admin. So a demotion, a ban or a lock whose webhook was lost takes effect with the next write, or a minute
later.
"""

from __future__ import annotations

import time

from clerk_convex.admin.answers import Problem, clerk_problem
from clerk_convex.convex.refusals import refusal_of
from clerk_convex.entities.changes import Upsert
from clerk_convex.entities.users import Fields, read_user
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    ClerkError,
    ClerkNotFound,
    ClerkUnavailable,
    UserError,
)
from clerk_convex.service import Service

__all__ = ["KEPT", "Callers"]

KEPT = 60.0
"""The seconds for which Clerk is not asked for the same caller again."""

_MOST = 10_000  # callers that are kept; admins are few
_RETRY_AFTER = 5.0  # seconds


class Callers:
    """The callers that were confirmed in the last minute."""

    def __init__(self) -> None:
        self._asked_at: dict[str, float] = {}

    async def refresh(self, service: Service, caller: str, fields: Fields | None) -> None:
        """Bring the caller's row in Convex up to date with Clerk, unless that was done in the last minute.

        Raises Problem: 403 if Clerk has no such user, 503 if it is not known what Clerk or Convex has.
        """
        now = time.monotonic()
        if now - self._asked_at.get(caller, float("-inf")) < KEPT:
            return
        try:
            snapshot = await service.clerk.get_user(caller)
            user = read_user(snapshot.user, fields, observed_at=snapshot.observed_at)
            # Not as a backfill, which has one entry in the audit log for all users that it creates.
            change = Upsert(user.clerk_id, user.updated_at, snapshot.observed_at, user.columns, "user")
            await service.writer.submit(change)
        except ClerkConvexError as error:
            if isinstance(error, UserError | ChangeRefused):
                service.ledger.add(refusal_of(error, "user"))
            raise _problem(error) from None
        if len(self._asked_at) >= _MOST:
            self._asked_at.clear()
        self._asked_at[caller] = now


def _problem(error: ClerkConvexError) -> Problem:
    """Return the answer to an error. Nobody knows yet whether the caller is an admin, so the log says why."""
    match error:
        case ClerkNotFound():
            return Problem(403, "deleted", "Your account was deleted. Sign in with another one.")
        case ClerkError():
            problem = clerk_problem(error, is_write=False)
            if isinstance(error, ClerkUnavailable):
                problem.status = 503
                problem.error["may_be_done"] = False
            return problem.for_anyone(
                "Clerk could not be asked whether you are still an administrator, so nothing was done."
            )
    problem = Problem(503, "convex_unavailable", str(error), retry_after=_RETRY_AFTER)
    return problem.for_anyone("Convex could not be told what Clerk knows of you, so nothing was done.")
