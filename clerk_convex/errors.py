"""Every error this package raises on purpose.

    ClerkConvexError
    ├── SettingsError                a setting is missing or malformed
    ├── EventError                   a webhook body that is no event of this Clerk instance
    ├── UserError                    a user or a deletion, sent by Clerk, that cannot be read
    ├── DeploymentError              Convex did not do what it was asked
    │   ├── ChangeRefused            its functions refused this one change
    │   ├── DeploymentMisconfigured  it rejects the key, or has no functions, or other ones
    │   └── DeploymentUnavailable    it is down, too slow or too busy: try again later
    ├── QueueFull                    too many changes wait to be written: try again later
    └── LocalError                   a local part could not be started

The text of each says what happened and what to do. None quotes a secret or a user's data.
"""

__all__ = [
    "ChangeRefused",
    "ClerkConvexError",
    "DeploymentError",
    "DeploymentMisconfigured",
    "DeploymentUnavailable",
    "EventError",
    "LocalError",
    "QueueFull",
    "SettingsError",
    "UserError",
]


class ClerkConvexError(Exception):
    """What all errors of this package have in common."""


class SettingsError(ClerkConvexError):
    """A setting is missing or malformed; the text names every one that is."""


class EventError(ClerkConvexError):
    """A webhook body that is not JSON, not an event, or another Clerk instance's event."""


class UserError(ClerkConvexError):
    """A user or a deletion, sent by Clerk, that cannot be read."""


class DeploymentError(ClerkConvexError):
    """Convex did not do what it was asked."""


class ChangeRefused(DeploymentError):
    """Convex's functions refused this one change; its neighbours were written."""


class DeploymentMisconfigured(DeploymentError):
    """Convex rejects the deploy key, or lacks the functions, or has those of another version."""


class DeploymentUnavailable(DeploymentError):
    """Convex is down, too slow or too busy. Whether the change was written is not known."""


class QueueFull(ClerkConvexError):
    """Too many changes wait to be written; this one was not taken."""


class LocalError(ClerkConvexError):
    """A local part could not be started; the text says what is missing."""
