"""Keeps the Convex `users` table equal to Clerk."""

from clerk_convex.changes import Change, Delete, Outcome, Upsert
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    ClerkError,
    ClerkMisconfigured,
    ClerkNotFound,
    ClerkUnavailable,
    DeploymentError,
    DeploymentMisconfigured,
    DeploymentUnavailable,
    EventError,
    LocalError,
    QueueFull,
    SettingsError,
    UserError,
)
from clerk_convex.settings import Settings
from clerk_convex.users import Fields
from clerk_convex.webhook import OnChange, webhook_route

__all__ = [
    "Change",
    "ChangeRefused",
    "ClerkConvexError",
    "ClerkError",
    "ClerkMisconfigured",
    "ClerkNotFound",
    "ClerkUnavailable",
    "Delete",
    "DeploymentError",
    "DeploymentMisconfigured",
    "DeploymentUnavailable",
    "EventError",
    "Fields",
    "LocalError",
    "OnChange",
    "Outcome",
    "QueueFull",
    "Settings",
    "SettingsError",
    "Upsert",
    "UserError",
    "__version__",
    "webhook_route",
]

__version__ = "0.1.0"
