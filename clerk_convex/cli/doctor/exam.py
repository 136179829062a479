"""Shared by the checks: the settings, the clients, the time that is left, and answers that several need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from pydantic import SecretStr

from clerk_convex.clerk.api import Clerk, Page
from clerk_convex.cli.doctor.report import Skip
from clerk_convex.convex import Deployment, FunctionMissing, Kind
from clerk_convex.errors import ClerkError, DeploymentError, SettingsError
from clerk_convex.net.pool import Pool, Response, Trouble
from clerk_convex.settings import Settings

__all__ = ["NO_CHANGES", "SAMPLE", "Exam", "read_settings"]

NO_CHANGES = b'{"changes":[]}'  # functions of any version take it
SAMPLE = 10  # users that some checks look at: those that changed last
_LARGEST_ANSWER = 1024 * 1024  # bytes, of what the checks ask for themselves
_MARGIN = 3.0  # seconds before the end in which a long check stops

T = TypeVar("T")


def read_settings(environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Return the settings that are well formed, and what is wrong with each of the others, by its name."""
    good: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name in map(str.upper, Settings.model_fields):
        value = {name: environ.get(name, "")}
        try:
            Settings.from_env(value)
        except SettingsError as error:
            problems[name] = str(error)
        else:
            good |= value
    return Settings.from_env(good), problems


class Exam:
    """One run of the checks. It serves one event loop.

    seconds: for all checks, which run at once.
    call: seconds for one call of Clerk, Convex or the service.
    """

    def __init__(
        self, environ: Mapping[str, str], *, webhook_url: str | None, seconds: float, call: float
    ) -> None:
        self.environ = environ
        self.webhook_url = webhook_url
        self.seconds = seconds
        self.call_seconds = call
        self._ends_at = asyncio.get_running_loop().time() + seconds
        self.settings, self.problems = read_settings(environ)
        self._pool = Pool(connect_timeout=call)
        self._clerk: Clerk | None = None
        self._deployment: Deployment | None = None
        self._shared: dict[str, asyncio.Task[Any]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, environ: Mapping[str, str], *, webhook_url: str | None, seconds: float, call: float
    ) -> AsyncIterator[Self]:
        """Make an exam, and close its connections at the end."""
        exam = cls(environ, webhook_url=webhook_url, seconds=seconds, call=call)
        try:
            yield exam
        finally:
            for task in exam._shared.values():
                task.cancel()
            await asyncio.gather(*exam._shared.values(), return_exceptions=True)
            for client in (exam._pool, exam._clerk, exam._deployment):
                if client is not None:
                    await client.aclose()

    @property
    def is_late(self) -> bool:
        """Check whether a check that reads page after page must stop."""
        return asyncio.get_running_loop().time() > self._ends_at - _MARGIN

    def needed(self, name: str) -> Any:
        """Return a setting that a check needs. Raises Skip if it is missing or malformed."""
        if name in self.problems:
            raise Skip(f"{name} is malformed, as said above")
        value = getattr(self.settings, name.lower())
        if value is None:
            raise Skip(f"{name} is not set")
        return value

    @property
    def clerk(self) -> Clerk:
        """The client of Clerk's Backend API. Raises Skip without a key."""
        if self._clerk is None:
            key: SecretStr = self.needed("CLERK_SECRET_KEY")
            self._clerk = Clerk(
                key.get_secret_value(),
                self.needed("CLERK_API_URL"),
                timeout=self.call_seconds,
                patience=0.0,
                connect_timeout=self.call_seconds,
                instance_id=self.settings.clerk_instance_id,
            )
        return self._clerk

    @property
    def deployment(self) -> Deployment:
        """The client of Convex. Raises Skip without an address or a key."""
        if self._deployment is None:
            url, key = self.needed("CONVEX_URL"), self.needed("CONVEX_DEPLOY_KEY")
            self._deployment = Deployment(
                url, key.get_secret_value(), timeout=self.call_seconds, connect_timeout=self.call_seconds
            )
        return self._deployment

    async def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response | Trouble:
        """Send a request without a key."""
        return await self._pool.send(
            method, url, headers or {}, body, timeout=self.call_seconds, largest=_LARGEST_ANSWER
        )

    async def call(self, kind: Kind, function: str, arguments: bytes, *, module: str | None = None) -> Any:
        """Call a function of the module in Convex on Convex-encoded JSON. Raises DeploymentError."""
        name = f"{module or self.settings.convex_users_module}:{function}"
        return await self.deployment.send(kind, name, arguments)

    async def ask(self, function: str, arguments: bytes = b"{}") -> Any:
        """Call a query for a check that is about rows. Raises Skip if another check says why it fails."""
        try:
            await self.probe()
        except DeploymentError:
            raise Skip("the functions in Convex cannot be called, as said above") from None
        try:
            return await self.call("query", function, arguments)
        except FunctionMissing:
            name = f"{self.settings.convex_users_module}:{function}"
            raise Skip(f"the functions in Convex are older than {name}") from None

    async def probe(self) -> None:
        """Call a query that reads nothing. Raises DeploymentError."""
        await self._once("probe", lambda: self.call("query", "compareUsers", NO_CHANGES))

    async def about(self) -> dict[str, Any]:
        """Return what the functions say of themselves. Raises Skip if they are older than that."""
        about: dict[str, Any] = await self._once("about", lambda: self.ask("about"))
        return about

    async def status(self) -> dict[str, Any]:
        """Return what is synced, and how fresh. Raises Skip if the functions are older than that."""
        status: dict[str, Any] = await self._once("status", lambda: self.ask("status"))
        return status

    async def sample(self) -> Page:
        """Return the users that changed last at Clerk. Raises Skip if Clerk cannot be asked."""
        clerk = self.clerk
        try:
            return await self._once("sample", lambda: clerk.list_users(limit=SAMPLE, order_by="-updated_at"))
        except ClerkError:
            raise Skip("Clerk cannot be asked, as said above") from None

    async def _once(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a question, which is asked once however many checks need it."""
        if name not in self._shared:
            self._shared[name] = asyncio.ensure_future(ask())
        return await asyncio.shield(self._shared[name])
