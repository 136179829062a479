"""Keeps the Convex `users` table equal to Clerk."""

import importlib
import typing

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
    "metrics_routes",
    "user_routes",
    "webhook_route",
]

if typing.TYPE_CHECKING:
    from clerk_convex.admin import user_routes
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
    from clerk_convex.metrics import metrics_routes
    from clerk_convex.settings import Settings
    from clerk_convex.webhook import OnChange, webhook_route
else:
    # Each name's module is imported when the name is first used. So a process that needs little is fast:
    # pytest with the plugin, the command line, and webhooks, which need no jwt, cryptography and limits.
    _NAMES = {
        "clerk_convex.admin": ["user_routes"],
        "clerk_convex.entities.changes": ["Change", "Delete", "Outcome", "SignIn", "Upsert"],
        "clerk_convex.entities.users": ["Fields"],
        "clerk_convex.health": ["health_routes"],
        "clerk_convex.metrics": ["metrics_routes"],
        "clerk_convex.settings": ["Settings"],
        "clerk_convex.webhook": ["OnChange", "webhook_route"],
    }
    _MODULES = {name: module for module, names in _NAMES.items() for name in names}

    def __getattr__(name: str) -> object:
        module = _MODULES.get(name, "clerk_convex.errors" if name in __all__ else None)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(module), name)
        return value


__version__ = "0.1.0"
