"""Every error this package raises on purpose.

    ClerkConvexError
    ├── SettingsError                a setting is missing or malformed
    ├── EventError                   a webhook that is no event of this Clerk instance
    ├── TokenError                   a session token that proves nothing
    ├── UserError                    a user or a deletion, sent by Clerk, that cannot be read
    ├── ClerkError                   Clerk did not do what it was asked
    │   ├── ClerkMisconfigured       it rejects the key, or the address is not Clerk's
    │   ├── ClerkNotFound            it has no such user
    │   └── ClerkUnavailable         it is down, too slow or too busy: try again later
    ├── DeploymentError              Convex did not do what it was asked
    │   ├── ChangeRefused            its functions refused this one change
    │   ├── DeploymentMisconfigured  it rejects the key, or has no functions, or other ones
    │   └── DeploymentUnavailable    it is down, too slow or too busy: try again later
    ├── QueueFull                    too many changes wait to be written: try again later
    └── LocalError                   a local part could not be started

The text of each says what happened and what to do. None quotes a secret or a user's data.
"""

import math

__all__ = [
    "ChangeRefused",
    "ClerkConvexError",
    "ClerkError",
    "ClerkMisconfigured",
    "ClerkNotFound",
    "ClerkUnavailable",
    "DeploymentError",
    "DeploymentMisconfigured",
    "DeploymentUnavailable",
    "EventError",
    "LocalError",
    "QueueFull",
    "SettingsError",
    "TokenError",
    "UserError",
]


class ClerkConvexError(Exception):
    """What all errors of this package have in common."""


class SettingsError(ClerkConvexError):
    """A setting is missing or malformed; the text names every one that is."""


class EventError(ClerkConvexError):
    """A webhook that is not signed, not JSON, not an event, or another Clerk instance's.

    cause: one word for why its signature is no good, where that is what is wrong.
    """

    def __init__(self, text: str, *, cause: str = "") -> None:
        super().__init__(text)
        self.cause = cause


class TokenError(ClerkConvexError):
    """A session token that does not say who calls. `code` is one word for the reason, for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class UserError(ClerkConvexError):
    """A user or a deletion, sent by Clerk, that cannot be read. `clerk_id` is the user's, None if unknown."""

    clerk_id: str | None = None


class ClerkError(ClerkConvexError):
    """Clerk did not do what it was asked.

    status, code, message, trace_id: Clerk's own, None if it gave none. `message` is meant for whoever asked:
    it may quote what was sent, so it is no part of the text and does not belong into a log.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.message = message
        self.trace_id = trace_id


class ClerkMisconfigured(ClerkError):
    """Clerk rejects the secret key, or what is at the address is not its Backend API."""


class ClerkNotFound(ClerkError):
    """Clerk has no such user.

    observed_at: when Clerk looked, at the earliest (Unix milliseconds by its clock); 0 if it did not say.
    gone_by: when it looked, at the latest: what it said of the user, it said before. Infinite likewise.
    """

    observed_at: float = 0.0
    gone_by: float = math.inf


class ClerkUnavailable(ClerkError):
    """Clerk is down, too slow or too busy.

    retry_after: the seconds Clerk wants to be left alone for, None if it did not say.
    surely_not_done: False if it may have done what it was asked and only the answer got lost.
    too_slow: no answer came in time.
    """

    retry_after: float | None = None
    surely_not_done: bool = False
    too_slow: bool = False


class DeploymentError(ClerkConvexError):
    """Convex did not do what it was asked."""


class ChangeRefused(DeploymentError):
    """Convex's functions refused this one change; its neighbours were written. `clerk_id` is the user's."""

    clerk_id: str | None = None


class DeploymentMisconfigured(DeploymentError):
    """Convex rejects the deploy key, or lacks the functions, or has those of another version."""


class DeploymentUnavailable(DeploymentError):
    """Convex is down, too slow or too busy. Whether the change was written is not known."""


class QueueFull(ClerkConvexError):
    """Too many changes wait to be written; this one was not taken."""


class LocalError(ClerkConvexError):
    """A local part could not be started; the text says what is missing."""
