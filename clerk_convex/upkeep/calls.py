"""Calls of the Convex functions for commands that need nothing of Clerk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from clerk_convex.convex import Deployment, Kind
from clerk_convex.errors import DeploymentUnavailable
from clerk_convex.net.backoff import Backoff
from clerk_convex.settings import ConvexSettings, Settings

__all__ = ["PATIENCE", "Calls"]

PATIENCE = 30.0
"""The default of the seconds for which failing calls of Convex are retried. A person waits for the answer."""

_TIMEOUT = 15.0  # seconds, of one call
_BACKOFF = Backoff(first=0.25, longest=5.0)  # seconds between attempts


class Calls:
    """The functions of the users module. Errors that pass are retried. Make one with `Calls.open`."""

    def __init__(self, settings: Settings, patience: float) -> None:
        settings = settings.require(ConvexSettings)
        self._deployment = Deployment(
            settings.convex_url, settings.convex_deploy_key.get_secret_value(), timeout=_TIMEOUT
        )
        self._module = settings.convex_users_module
        self._patience = patience

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings | None, patience: float) -> AsyncIterator[Self]:
        """Open the calls. Without settings they are read from the environment. Raises SettingsError."""
        calls = cls(Settings.from_env() if settings is None else settings, patience)
        try:
            yield calls
        finally:
            await calls._deployment.aclose()

    async def call(self, kind: Kind, function: str, arguments: dict[str, Any]) -> Any:
        """Call a function and return its value. Raises DeploymentError."""
        time = asyncio.get_running_loop().time
        ends = time() + self._patience
        encoded = json.dumps(arguments).encode()
        failures = 0
        while True:
            try:
                return await self._deployment.send(kind, f"{self._module}:{function}", encoded)
            except DeploymentUnavailable:
                pause = _BACKOFF.pause(failures)
                if time() + pause > ends:
                    raise
            failures += 1
            await asyncio.sleep(pause)
