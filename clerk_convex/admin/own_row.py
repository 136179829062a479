"""`POST /api/users/me`: writes the caller's own row, right after the sign-up for example.

It is no action of an admin: it changes nothing at Clerk, and reads nobody but the caller. So Convex is not
asked for permission, and the audit log has only the entry of an applied change, with the source `user`.
"""

from __future__ import annotations

from clerk_convex.admin.answers import Problem, clerk_problem
from clerk_convex.convex.refusals import refusal_of
from clerk_convex.entities.changes import Outcome, Upsert
from clerk_convex.entities.users import Fields, read_user
from clerk_convex.errors import ChangeRefused, ClerkConvexError, ClerkError, ClerkNotFound, UserError
from clerk_convex.service import Service

__all__ = ["write_own_row"]

_RETRY_AFTER = 5.0  # seconds


async def write_own_row(service: Service, caller: str, fields: Fields | None) -> Outcome:
    """Read the caller from Clerk, write the user to Convex by the rules, and return the outcome.

    `tombstoned` means that the user was deleted. Raises Problem.
    """
    try:
        snapshot = await service.clerk.get_user(caller)
        user = read_user(snapshot.user, fields, observed_at=snapshot.observed_at)
        change = Upsert(user.clerk_id, user.updated_at, snapshot.observed_at, user.columns, "user")
        return await service.writer.submit(change)
    except ClerkConvexError as error:
        if isinstance(error, UserError | ChangeRefused):
            service.ledger.add(refusal_of(error, "user"))
        raise _problem(error) from None


def _problem(error: ClerkConvexError) -> Problem:
    """Return the answer to an error. The caller may be anyone who signs up, so the log says what is wrong."""
    match error:
        case ClerkNotFound():
            return Problem(404, "deleted", "Clerk has no such user any more. Sign in with another account.")
        case ClerkError():
            problem = clerk_problem(error, is_write=False)
            problem.for_anyone("Clerk cannot be asked just now. Try again in a moment.")
        case UserError() | ChangeRefused():
            problem = Problem(
                502, "refused", "Your account cannot be stored as it is. An administrator can see the reason."
            )
        case _:
            text = "Your account could not be written to Convex just now. Try again in a moment."
            problem = Problem(503, "convex_unavailable", text, retry_after=_RETRY_AFTER)
    problem.log_text = str(error)
    return problem
