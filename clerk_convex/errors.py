"""All errors that this package raises on purpose.

    ClerkConvexError
    ├── SettingsError                a setting is missing or malformed
    ├── EventError                   a webhook that is not an event of this Clerk instance
    ├── TokenError                   a session token that is not valid
    ├── UserError                    a user or a deletion, sent by Clerk, that cannot be read
    ├── ClerkError                   a call of Clerk failed
    │   ├── ClerkMisconfigured       it rejects the key, or the address is not Clerk's
    │   ├── ClerkNotFound            it has no such user
    │   └── ClerkUnavailable         it is down, too slow or too busy: try again later
    ├── DeploymentError              a call of Convex failed
    │   ├── ChangeRefused            its functions refuse this one change
    │   ├── DeploymentMisconfigured  it rejects the key, or has no functions, or other ones
    │   └── DeploymentUnavailable    it is down, too slow or too busy: try again later
    ├── QueueFull                    too many changes wait to be written: try again later
    ├── ProjectError                 a folder of Convex functions is not as a command needs it
    └── LocalError                   a local part could not be started

The text of each error says what happened and what to do. It quotes neither a secret nor a user's data.
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
    "ProjectError",
    "QueueFull",
    "SettingsError",
    "TokenError",
    "UserError",
]


class ClerkConvexError(Exception):
    """The base of all errors of this package."""


class SettingsError(ClerkConvexError):
    """Settings are missing or malformed; the text names all of them."""


class EventError(ClerkConvexError):
    """A webhook that is not signed, not JSON, not an event, or another Clerk instance's.

    cause: one word for the reason, if its signature was rejected; else "".
    """

    def __init__(self, text: str, *, cause: str = "") -> None:
        super().__init__(text)
        self.cause = cause


class TokenError(ClerkConvexError):
    """A session token that does not identify the caller. `code` is one word for the reason, for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class UserError(ClerkConvexError):
    """A user or a deletion, sent by Clerk, that cannot be read. `clerk_id` is the user's, None if unknown.

    observed_at: when Clerk looked, in Unix milliseconds by its clock; 0 if unknown.
    """

    clerk_id: str | None = None
    observed_at: float = 0.0


class ClerkError(ClerkConvexError):
    """A call of Clerk failed.

    status, code, message, trace_id: as Clerk answered, None if it gave none. `message` is for the caller
    only: it may quote what was sent, so it is not part of the error's text and must not be logged.
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
    """Clerk rejects the secret key, or CLERK_API_URL is not the address of its Backend API."""


class ClerkNotFound(ClerkError):
    """Clerk has no such user.

    Clerk looked between `observed_at` and `gone_by`, in Unix milliseconds by its clock. Without a date in its
    answer they are 0 and infinite. All that Clerk ever said of the user, it said before `gone_by`.
    """

    observed_at: float = 0.0
    gone_by: float = math.inf


class ClerkUnavailable(ClerkError):
    """Clerk is down, too slow or too busy.

    retry_after: the seconds to wait before the next call, None if Clerk did not say.
    may_be_done: False if Clerk certainly did not do what it was asked; True if only the answer may be lost.
    too_slow: no answer came in time.
    """

    retry_after: float | None = None
    may_be_done: bool = True
    too_slow: bool = False


class DeploymentError(ClerkConvexError):
    """A call of Convex failed. `status` and `code` are as Convex answered, None if it gave none."""

    status: int | None = None
    code: str | None = None


class ChangeRefused(DeploymentError):
    """Convex's functions refuse this one change; its neighbours are written. `clerk_id` is the user's.

    observed_at: when Clerk looked for the change, in Unix milliseconds by its clock; 0 if unknown.
    """

    clerk_id: str | None = None
    observed_at: float = 0.0


class DeploymentMisconfigured(DeploymentError):
    """Convex rejects the deploy key, or lacks the functions, or has those of another version."""


class DeploymentUnavailable(DeploymentError):
    """Convex is down, too slow or too busy. Whether the change was written is not known."""


class QueueFull(ClerkConvexError):
    """Too many changes wait to be written; this one was not accepted."""


class ProjectError(ClerkConvexError):
    """A folder of Convex functions is not as a command needs it; the text says what is in the way."""


class LocalError(ClerkConvexError):
    """A local part could not be started; the text says what is missing."""
