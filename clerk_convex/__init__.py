"""Keeps the Convex `users` table equal to Clerk."""

import typing

from clerk_convex.entities.changes import Change, Delete, Outcome, SignIn, Upsert
from clerk_convex.entities.users import Fields
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
    ProjectError,
    QueueFull,
    SettingsError,
    TokenError,
    UserError,
)
from clerk_convex.health import health_routes
from clerk_convex.settings import Settings
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
    "ProjectError",
    "QueueFull",
    "Settings",
    "SettingsError",
    "SignIn",
    "TokenError",
    "Upsert",
    "UserError",
    "__version__",
    "health_routes",
    "user_routes",
    "webhook_route",
]

if typing.TYPE_CHECKING:
    from clerk_convex.admin import user_routes
else:

    def __getattr__(name: str) -> object:
        # Imported on first use: it loads jwt, cryptography and limits, which webhooks do not need.
        if name == "user_routes":
            from clerk_convex.admin import user_routes

            return user_routes
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"
