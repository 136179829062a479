from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from types import ModuleType

import pytest

import clerk_convex
from clerk_convex import errors


def test_exported_names() -> None:
    """__all__ is sorted and has all public names, every error included."""
    assert clerk_convex.__all__ == sorted(clerk_convex.__all__)
    for name in clerk_convex.__all__:
        assert getattr(clerk_convex, name) is not None
    public = {
        name
        for name, value in vars(clerk_convex).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public | {"__version__"} == set(clerk_convex.__all__)
    assert public.issuperset(errors.__all__)


def test_user_routes() -> None:
    """A name that is imported on first use is found, and an unknown name is an AttributeError."""
    assert clerk_convex.user_routes().path.startswith("/api/users")
    with pytest.raises(AttributeError, match="no attribute 'user_route'"):
        clerk_convex.user_route  # type: ignore[attr-defined]  # noqa: B018


def test_version() -> None:
    """The version is the installed distribution's."""
    assert clerk_convex.__version__ == version("clerk-convex")


def modules_after(statement: str) -> list[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return ran.stdout.split()


def test_importing_the_package_alone_is_cheap() -> None:
    """Each run of pytest in an environment with this package imports it, for the plugin."""
    names = {name.partition(".")[0] for name in modules_after("import clerk_convex")}
    assert names <= {"clerk_convex", *sys.stdlib_module_names}
    assert [name for name in modules_after("import clerk_convex") if name.startswith("clerk")] == [
        "clerk_convex"
    ]


def test_what_is_imported() -> None:
    """A service with webhooks imports neither the local parts nor the commands nor the app, no server, and
    nothing that only user management needs."""
    imported = modules_after("from clerk_convex import webhook_route")
    assert "clerk_convex.webhook.route" in imported
    for name in imported:
        assert not name.startswith(
            (
                *(
                    "clerk_convex.local",
                    "clerk_convex.backfill",
                    "clerk_convex.app",
                    "clerk_convex.admin.routes",
                ),
                *("uvicorn", "jwt", "cryptography", "limits", "redis", "svix"),
            )
        )
